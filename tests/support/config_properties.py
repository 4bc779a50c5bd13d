"""Each property of the OpenAPI document's machine config, with values that a spec can give it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.openapi import leaves_of_a_config

ITEM, KEY = "[]", "*"
# What must stand beside a property for the config to make sense at all, by the path of its parent.
BESIDE: dict[str, dict[str, Any]] = {
    "checks.*": {"type": "http", "port": 8080},
    "checks.*.headers[]": {"name": "X-A", "values": ["a"]},
    "containers[]": {"name": "main", "image": "i:1"},
    "containers[].depends_on[]": {"name": "other", "condition": "started"},
    "containers[].env_from[]": {"env_var": "A", "field_ref": "id"},
    "containers[].files[]": {"guest_path": "/a", "raw_value": "YQ=="},
    "containers[].healthchecks[]": {"name": "up"},
    "containers[].healthchecks[].http.headers[]": {"name": "X-A", "values": ["a"]},
    "containers[].secrets[]": {"env_var": "A"},
    "dns.dns_forward_rules[]": {"basename": "a.example", "addr": "10.0.0.1"},
    "dns.options[]": {"name": "ndots", "value": "1"},
    "files[]": {"guest_path": "/a", "raw_value": "YQ=="},
    "metrics": {"port": 9090, "path": "/metrics"},
    "mounts[]": {"volume": "vol_1", "path": "/data"},
    "processes[]": {"cmd": ["exit", "0"]},
    "processes[].env_from[]": {"env_var": "A", "field_ref": "id"},
    "processes[].secrets[]": {"env_var": "A"},
    "services[]": {"protocol": "tcp", "internal_port": 8080},
    "services[].checks[]": {"type": "http", "port": 8080},
    "services[].checks[].headers[]": {"name": "X-A", "values": ["a"]},
    "services[].ports[]": {"port": 443},
    "services[].ports[].http_options.replay_cache[]": {"path_prefix": "/", "type": "header", "name": "a"},
    "statics[]": {"guest_path": "/public", "url_prefix": "/"},
}
# Fields that the format spells itself, with two values of each; all others go under `config:`.
OURS = {
    "image": ("image: i:7", "image: i:8"),
    "env.*": ("env: {A: x}", "env: {A: y}"),
    "metadata.*": ("metadata: {a: x}", "metadata: {a: y}"),
    "schedule": ("schedule: daily\n        launch: true", "schedule: hourly\n        launch: true"),
}
VALUES: dict[str, tuple[Any, ...]] = {
    "guest.cpu_kind": ("performance",),
    "guest.memory_mb": (512, 1024),
    "guest.cpus": (2, 4),
    "init.exec[]": ("exit", "run"),
    "containers[].files[].raw_value": ("Yg==", "Yw=="),
    "files[].raw_value": ("Yg==", "Yw=="),
    "files[].guest_path": ("/b", "/c"),
    "mounts[].path": ("/b", "/c"),
    "services[].checks[].interval": ("15s", "90s"),  # the second one comes back as one minute
    "services[].concurrency.soft_limit": (25, 30),
    "restart.policy": ("always", "on-failure"),
    "rootfs.persist": ("always", "restart"),
    "guest.persist_rootfs": ("always", "restart"),
    "services[].autostop": ("stop", "suspend"),
}
DURATIONS = frozenset({"interval", "timeout", "grace_period"})
DEFAULTS = frozenset({"off", "never", "informational"})
OF_A_SERVICE = "auto_destroy"  # a machine of a task is kept


@dataclass(frozen=True)
class Property:
    path: str
    kind: str
    words: tuple[str, ...] = ()

    @property
    def parts(self) -> list[str]:
        """`services[].ports[].port` in steps: a name, `[]` for an item, `*` for any key."""
        return self.path.replace(ITEM, f".{ITEM}").split(".")

    @property
    def values(self) -> tuple[Any, ...]:
        """Two values that mean different things, or true."""
        if self.path in VALUES:
            return VALUES[self.path]
        if self.words:
            parent, _, name = self.path.rpartition(".")
            known = [word for word in self.words if word not in {*DEFAULTS, BESIDE.get(parent, {}).get(name)}]
            return tuple(known[:2])
        name = next(part for part in reversed(self.parts) if part not in {ITEM, KEY})
        if name in DURATIONS and self.kind == "string":
            return "15s", "1m0s"
        return {"boolean": (True,), "integer": (3, 5), "number": (0.25, 0.5)}.get(self.kind, ("x", "y"))

    def document(self, *value: Any) -> Any:
        """The config that has this value, or without any what must be beside it."""
        return _built(self.parts, "", value)


def _built(parts: list[str], path: str, value: tuple[Any, ...]) -> Any:
    part, *rest = parts
    beside = BESIDE.get(path, {})
    here = path + part if part == ITEM else f"{path}.{part}".lstrip(".")
    if rest:
        inner = _built(rest, here, value)
        is_nothing = inner in ({}, []) and not value
    else:
        inner, is_nothing = (value[0] if value else None), not value
    if part == ITEM:
        return [] if is_nothing else [inner]
    if is_nothing and part not in beside and here not in BESIDE:
        return dict(beside)
    name = "a" if part == KEY else part
    return beside | ({} if is_nothing and part in beside else {name: inner})


def properties() -> Iterator[Property]:
    for path, schema in leaves_of_a_config():
        yield Property(path=path, kind=schema.get("type", ""), words=tuple(schema.get("enum", ())))


PROPERTIES = [one for one in properties() if one.path != "size"]  # the deprecated spelling of a guest
