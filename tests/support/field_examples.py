"""An example of each field of a pool: two values that mean different things, and one that is refused.

Tests are made of them: tests/spec/test_fields.py and, on the engine, tests/scenarios/apply/test_apply.py.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Example:
    """Values are YAML on one line. `beside` is what else the pool needs for the field to make sense."""

    value: str
    other: str
    wrong: str
    path: str | None = None  # of a difference in the config that the value makes; None: it makes none
    kind: str = "tasks"
    beside: str = ""


EXAMPLES = {
    "image": Example(value="registry.example/app:2", other="i:3", wrong="'a b'", path="image"),
    "build": Example(value=".", other="other", wrong="[a]"),
    "command": Example(value="[exit, '1']", other="[exit, '2']", wrong="[]", path="init.cmd"),
    "args": Example(value="[more]", other="[less]", wrong="{}", path="init.cmd"),
    "entrypoint": Example(value="[first]", other="[other]", wrong="[]", path="init.entrypoint"),
    "processes": Example(
        value="[{name: a, command: [exit, '0']}]",
        other="[{name: b, command: [exit, '0']}]",
        wrong="[{name: a}]",
        path="processes",
    ),
    "env": Example(value="{A: '1'}", other="{B: '2'}", wrong="[A]", path="env"),
    "count": Example(value="2", other="3", wrong="-1"),
    "regions": Example(value="[ams]", other="[ams, fra]", wrong="[everywhere]"),
    "slots": Example(value="{iad: [blue-fire-1]}", other="{iad: [old-sun-2]}", wrong="{iad: [a b]}"),
    "guest": Example(value="shared-cpu-2x", other="shared-cpu-4x", wrong="huge", path="guest.cpus"),
    "swap_size_mb": Example(value="512", other="1024", wrong="512mb", path="init"),
    "restart": Example(value="on-failure", other="always", wrong="never", path="restart.policy"),
    "files": Example(
        value="[{path: /a, content: b}]",
        other="[{path: /a, content: c}]",
        wrong="[{path: a, content: b}]",
        path="files",
    ),
    "stop": Example(
        value="{signal: SIGTERM, timeout: 60s}",
        other="{signal: SIGINT, timeout: 30s}",
        wrong="{timeout: soon}",
        path="stop_config",
    ),
    "dns": Example(
        value="{skip_registration: true, options: [{name: ndots, value: '2'}]}",
        other="{skip_registration: true, nameservers: [10.0.0.53]}",
        wrong="{nameserver: 10.0.0.53}",
        path="dns",
    ),
    "timeout": Example(value="1m", other="2m", wrong="5"),
    "overrides": Example(value="{args: true}", other="{env: [A]}", wrong="[args]"),
    "metadata": Example(value="{team: web}", other="{owner: me}", wrong="{fly_a: b}", path="metadata"),
    "ports": Example(value="[8080]", other="[8081]", wrong="[0]", path="services", kind="services"),
    "checks": Example(
        value="{up: {port: 8080}}",
        other="{up: {port: 8081}}",
        wrong="{up: {port: 0}}",
        path="checks",
        kind="services",
    ),
    "rollout": Example(
        value="{min_healthy: 20s}", other="{min_healthy: 30s}", wrong="{min_healthy: soon}", kind="services"
    ),
    "schedule": Example(value="daily", other="hourly", wrong="often", path="schedule", beside="launch: true"),
    "launch": Example(value="true", other="false", wrong="1"),
    "protect": Example(value="true", other="false", wrong="1"),
    "config": Example(
        value="{dns: {skip_registration: true}}",
        other="{dns: {skip_registration: false}}",
        wrong="[]",
        path="dns",
    ),
}
