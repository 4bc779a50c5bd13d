<?php
// Runs a task from PHP over plain HTTP: list, pick, lease, look, start with the nonce, confirm, release, wait.
// docs/how-to/claim-over-http.md says why each step is there.
//
//   php invoke.php APP TASK        ends with the task's own exit code; 120 where no machine was free
//
// FLY_API_TOKEN is the token; MACHINES_API the API's URL, Fly's own by default.

final class Machines
{
    public function __construct(private string $app, private string $base, private string $token)
    {
    }

    /** Status and decoded body. Status 0: no answer, and whether the call had its effect is not known. */
    public function call(string $method, string $path, ?array $body = null, ?string $nonce = null, int $timeout = 15): array
    {
        // A macaroon wants its own scheme; any other token is a bearer token.
        $scheme = preg_match('/^fm[12]/', $this->token) ? 'FlyV1' : 'Bearer';
        $headers = ["Authorization: $scheme {$this->token}", 'Content-Type: application/json'];
        if ($nonce !== null) {
            $headers[] = "fly-machine-lease-nonce: $nonce";
        }
        $http = ['method' => $method, 'header' => $headers, 'ignore_errors' => true, 'timeout' => $timeout];
        if ($body !== null) {
            $http['content'] = json_encode((object) $body);
        }
        $url = "{$this->base}/v1/apps/{$this->app}/machines$path";
        $reply = @file_get_contents($url, false, stream_context_create(['http' => $http]));
        if ($reply === false) {
            return [0, null];
        }
        preg_match('/ (\d{3})/', $http_response_header[0], $found);

        return [(int) $found[1], json_decode($reply, true)];
    }

    /** The machine as it is now, asked until it is answered. */
    public function look(string $id): array
    {
        return $this->ask("/$id");
    }

    /** The machine's newest fifty events, newest first; with the machine itself come only five. */
    public function events(string $id): array
    {
        return $this->ask("/$id/events?limit=50");
    }

    private function ask(string $path): array
    {
        for ($try = 0; $try < 30; $try++) {
            [$status, $reply] = $this->call('GET', $path);
            if ($status === 200) {
                return $reply;
            }
            sleep(1);
        }
        throw new RuntimeException("no answer to GET $path");
    }
}

const RESTING = ['created', 'stopped', 'suspended', 'failed'];

/** The events newer than the fence, oldest first. The list is newest first; times of two hosts do not compare. */
function newer(array $events, ?string $fence): array
{
    $found = [];
    foreach ($events as $event) {
        if ($event['id'] === $fence) {
            break;
        }
        array_unshift($found, $event);
    }

    return $found;
}

function first(array $events, callable $is): ?array
{
    foreach ($events as $event) {
        if ($is($event)) {
            return $event;
        }
    }

    return null;
}

/** The id of our start event on the machine, or null where the machine is not ours to start. */
function claim(Machines $machines, string $id, ?string $want): ?string
{
    $lease = ['ttl' => 30, 'description' => 'php invoke ' . bin2hex(random_bytes(8))];
    [$status, $reply] = $machines->call('POST', "/$id/lease", $lease);
    if ($status !== 201 && $status !== 200) {
        return null; // 409: someone else is about to start it
    }
    $nonce = $reply['data']['nonce'];
    try {
        $machine = $machines->look($id); // what the list said may be long gone
        $marks = $machine['config']['metadata'] ?? [];
        // A machine whose config is one run's own, or that waits for an apply, needs more than this example does.
        if (!in_array($machine['state'], ['stopped', 'created', 'failed'], true)
            || isset($marks['reconciler_override'])
            || ($want !== null && ($marks['reconciler_applied'] ?? '') !== $want)) {
            return null;
        }
        $fence = $machine['events'][0]['id'] ?? null;
        for ($try = 0; $try < 20; $try++) {
            [$status, $reply] = $machines->call('POST', "/$id/start", null, $nonce);
            if ($status !== 412) {
                break;
            }
            sleep(1); // still being prepared, or its last run has ended this very moment
        }
        if ($status === 200 && !in_array($reply['previous_state'] ?? 'stopped', RESTING, true)) {
            return null; // it ran already: that start was not ours
        }
        if ($status !== 200 && $status !== 0 && $status !== 408 && $status < 500) {
            return null;
        }
        // The start event is the proof, also where the reply was lost.
        for ($try = 0; $try < 20; $try++) {
            $start = first(newer($machines->events($id), $fence), fn ($event) => $event['type'] === 'start');
            if ($start !== null) {
                return $start['id'];
            }
            usleep(250_000);
        }
        throw new RuntimeException("whether machine $id was started cannot be learnt; do not start another one");
    } finally {
        $machines->call('DELETE', "/$id/lease", null, $nonce, 5);
    }
}

/** The run's exit code; 122 where it cannot be learnt. */
function follow(Machines $machines, string $id, string $start): int
{
    while (true) {
        $machine = $machines->look($id);
        $exit = first(
            newer($machines->events($id), $start),
            fn ($event) => isset($event['request']['exit_event']) && empty($event['request']['exit_event']['restarting'])
        );
        if ($exit !== null) {
            return (int) ($exit['request']['exit_event']['exit_code'] ?? 0);
        }
        if ($machine['state'] === 'destroyed') {
            return 122;
        }
        $query = http_build_query(['state' => 'stopped', 'timeout' => 30, 'version' => $machine['version'] ?? $machine['instance_id']]);
        $machines->call('GET', "/$id/wait?$query", null, null, 40);
        usleep(200_000);
    }
}

[, $app, $task] = $argv;
$machines = new Machines($app, rtrim(getenv('MACHINES_API') ?: 'https://api.machines.dev', '/'), getenv('FLY_API_TOKEN'));
for ($round = 0; $round < 60; $round++) {
    [$status, $list] = $machines->call('GET', '');
    if ($status === 200) {
        $pool = array_filter($list, fn ($machine) => ($machine['config']['metadata']['reconciler_pool'] ?? '') === $task
            && ($machine['config']['metadata']['reconciler_slot'] ?? '') === $machine['name']);
        $wants = array_filter(array_map(fn ($machine) => $machine['config']['metadata']['reconciler_want'] ?? null, $pool));
        $want = $wants ? explode(';', reset($wants))[0] : null; // what the last apply wants all of them to be
        shuffle($pool);
        foreach ($pool as $machine) {
            if (in_array($machine['state'], RESTING, true)) {
                $start = claim($machines, $machine['id'], $want);
                if ($start !== null) {
                    exit(follow($machines, $machine['id'], $start));
                }
            }
        }
    }
    sleep(random_int(1, 3));
}
exit(120);
