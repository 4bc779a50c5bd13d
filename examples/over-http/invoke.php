<?php
// Runs a task from PHP over plain HTTP: list, pick, lease, look, start with the nonce, confirm, release, wait.
// docs/how-to/claim-over-http.md says why each step is there.
//
//   php invoke.php APP TASK               ends with the task's own exit code; 120 where no machine was free
//   php invoke.php APP TASK -- ARG…       this run has other args, as `overrides: {args: true}` in the spec allows
//
// FLY_API_TOKEN is the token; MACHINES_API the API's URL, Fly's own by default.

final class Machines
{
    public function __construct(private string $app, private string $base, private string $token)
    {
    }

    /**
     * Status and decoded body. Status 0: no answer, and whether the call had its effect is not known.
     * With $objects maps are objects: as arrays an empty one could not be told from a list, and be sent back.
     */
    public function call(
        string $method,
        string $path,
        ?array $body = null,
        ?string $nonce = null,
        int $timeout = 15,
        bool $objects = false
    ): array {
        // A macaroon wants its own scheme; any other token is a bearer token.
        $scheme = preg_match('/^fm[12]/', $this->token) ? 'FlyV1' : 'Bearer';
        $headers = ["Authorization: $scheme {$this->token}", 'Content-Type: application/json'];
        if ($nonce !== null) {
            $headers[] = "fly-machine-lease-nonce: $nonce";
        }
        $http = ['method' => $method, 'header' => $headers, 'ignore_errors' => true, 'timeout' => $timeout];
        if ($body !== null) {
            $http['content'] = json_encode((object) $body, JSON_PRESERVE_ZERO_FRACTION | JSON_THROW_ON_ERROR);
        }
        $url = "{$this->base}/v1/apps/{$this->app}/machines$path";
        $reply = @file_get_contents($url, false, stream_context_create(['http' => $http]));
        if ($reply === false) {
            return [0, null];
        }
        preg_match('/ (\d{3})/', $http_response_header[0], $found);

        return [(int) $found[1], json_decode($reply, !$objects)];
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

    /** The machine's config, to be changed and sent back. */
    public function config(string $id): object
    {
        return $this->ask("/$id", true)->config;
    }

    private function ask(string $path, bool $objects = false): array|object
    {
        for ($try = 0; $try < 30; $try++) {
            [$status, $reply] = $this->call('GET', $path, null, null, 15, $objects);
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

/** A lease was left to expire, since what was sent under it may still arrive. */
final class Unclear extends RuntimeException
{
}

/** 26 characters, the time first, by which the config of one run can be told from another's. */
function ulid(): string
{
    $digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
    [$text, $now] = ['', (int) (microtime(true) * 1000)];
    for ($place = 0; $place < 10; $place++, $now >>= 5) {
        $text = $digits[$now & 31] . $text;
    }
    for ($place = 0; $place < 16; $place++) {
        $text .= $digits[random_int(0, 31)];
    }

    return $text;
}

/**
 * Replace the machine's config, under the lease, and return the machine at rest with it. Null: it was refused, and
 * nothing has changed. `current_version` makes the server refuse it where someone else was faster.
 */
function update(Machines $machines, array $machine, object $config, string $nonce): ?array
{
    $version = $machine['version'] ?? $machine['instance_id'];
    $body = ['name' => $machine['name'], 'region' => $machine['region'], 'config' => $config];
    $body += ['current_version' => $version, 'skip_launch' => true];
    [$status] = $machines->call('POST', "/{$machine['id']}", $body, $nonce, 60);
    if ($status >= 400 && $status < 500 && $status !== 408) {
        return null;
    }
    // The reply is no proof, and a lost one no failure: read it back.
    for ($try = 0; $try < 60; $try++) {
        $seen = $machines->look($machine['id']);
        if (($seen['version'] ?? $seen['instance_id']) !== $version && in_array($seen['state'], ['stopped', 'failed'], true)) {
            return $seen;
        }
        usleep(500_000);
    }
    throw new Unclear("whether machine {$machine['name']} has the config of this run cannot be learnt");
}

/** Give the machine, under the lease, the args of one run. The mark names the run, and the version to go back to. */
function put_args(Machines $machines, array $machine, Override $override, string $nonce): ?array
{
    $config = $machines->config($machine['id']);
    $override->init = isset($config->init) ? clone $config->init : null;
    $config->init ??= new stdClass();
    $config->init->cmd = [...array_slice($config->init->cmd ?? [], 0, $override->after), ...$override->args];
    $config->metadata->reconciler_override = $override->ulid . ';' . ($machine['version'] ?? $machine['instance_id']) . ';';

    return update($machines, $machine, $config, $nonce);
}

/** Put back, under the lease, what was there before the run. Marks that others wrote meanwhile stay. */
function put_back(Machines $machines, array $machine, Override $override, string $nonce): void
{
    $mark = $machine['config']['metadata']['reconciler_override'] ?? '';
    if (explode(';', $mark)[0] !== $override->ulid || !in_array($machine['state'], ['stopped', 'failed'], true)) {
        return; // the next claim or an apply was faster
    }
    $config = $machines->config($machine['id']);
    $config->init = $override->init;
    if ($config->init === null) {
        unset($config->init);
    }
    unset($config->metadata->reconciler_override);
    update($machines, $machine, $config, $nonce);
}

/** After the run. Where this fails, the next claim or an apply does it: the mark says that it is due. */
function restore(Machines $machines, string $id, Override $override): void
{
    [$status, $reply] = $machines->call('POST', "/$id/lease", ['ttl' => 90, 'description' => 'php restore']);
    if ($status !== 201 && $status !== 200) {
        return; // whoever has the lease does it
    }
    $nonce = $reply['data']['nonce'];
    put_back($machines, $machines->look($id), $override, $nonce);
    $machines->call('DELETE', "/$id/lease", null, $nonce, 5);
}

/** What one run has of its own: `args` take the place of all words of the command behind the first `after`. */
final class Override
{
    public ?object $init = null;

    public function __construct(public array $args, public int $after, public string $ulid)
    {
    }
}

/** The id of our start event on the machine, or null where the machine is not ours to start. */
function claim(Machines $machines, string $id, ?string $want, ?Override $override): ?string
{
    // An update takes longer than a start.
    $lease = ['ttl' => $override ? 90 : 30, 'description' => 'php invoke ' . bin2hex(random_bytes(8))];
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
        if ($override !== null) {
            $machine = put_args($machines, $machine, $override, $nonce);
            if ($machine === null) {
                return null;
            }
            [$status] = $machines->call('POST', "/$id/lease", ['ttl' => 60], $nonce); // the update may have taken long
            if ($status !== 201 && $status !== 200) {
                return null; // too long: who has the lease now puts the config back
            }
        }
        $start = start($machines, $machine, $nonce);
        if ($start === null && $override !== null) {
            put_back($machines, $machines->look($id), $override, $nonce);
        }

        return $start;
    } catch (Unclear $unclear) {
        $nonce = null;
        throw $unclear;
    } finally {
        if ($nonce !== null) {
            $machines->call('DELETE', "/$id/lease", null, $nonce, 5);
        }
    }
}

/** The id of our start event on the machine, or null where it was not started by us. */
function start(Machines $machines, array $machine, string $nonce): ?string
{
    $id = $machine['id'];
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
$args = array_slice($argv, 3);
$machines = new Machines($app, rtrim(getenv('MACHINES_API') ?: 'https://api.machines.dev', '/'), getenv('FLY_API_TOKEN'));
for ($round = 0; $round < 60; $round++) {
    [$status, $list] = $machines->call('GET', '');
    if ($status === 200) {
        $pool = array_filter($list, fn ($machine) => ($machine['config']['metadata']['reconciler_pool'] ?? '') === $task
            && ($machine['config']['metadata']['reconciler_slot'] ?? '') === $machine['name']);
        $marked = fn (string $mark) => array_values(array_filter(array_map(fn ($machine) => $machine['config']['metadata'][$mark] ?? null, $pool)));
        $want = explode(';', $marked('reconciler_want')[0] ?? '')[0] ?: null; // what the last apply wants all of them to be
        $override = null;
        if ($args) {
            $after = explode(';', $marked('reconciler_terms')[0] ?? '')[1] ?? ''; // timeout;words before args;env
            if ($pool && !ctype_digit($after)) {
                fwrite(STDERR, "the runs of $task may have no args of their own\n");
                exit(125);
            }
            $override = new Override(array_slice($args, $args[0] === '--' ? 1 : 0), (int) $after, ulid());
        }
        shuffle($pool);
        foreach ($pool as $machine) {
            if (in_array($machine['state'], RESTING, true)) {
                $start = claim($machines, $machine['id'], $want, $override);
                if ($start !== null) {
                    $code = follow($machines, $machine['id'], $start);
                    if ($override !== null) {
                        restore($machines, $machine['id'], $override);
                    }
                    exit($code);
                }
            }
        }
    }
    sleep(random_int(1, 3));
}
exit(120);
