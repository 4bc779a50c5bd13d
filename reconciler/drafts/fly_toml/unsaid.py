"""Find what of a fly.toml a spec cannot say, and why.

This version lacks it, or flyctl does not know it either.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from msgspec import Struct

from reconciler.drafts.fly_toml.values import text_of
from reconciler.drafts.secret_values import looks_secret

# By key: None where the draft says it, the reason where it does not, a map for what is below; * is any key.
_Known: TypeAlias = "str | Mapping[str, _Known] | None"

_LONGEST_VALUE: Final = 60


def _said(*keys: str) -> dict[str, _Known]:
    return dict.fromkeys(keys)


_VOLUMES: Final = "this version cannot make volumes: make it with `fly volumes create`"
_PROBES: Final = "this version runs no test machines"
_ROLLING: Final = "an apply changes the machines of a service one at a time, and waits until each is healthy"
_BUILDPACKS: Final = "this version builds from a Dockerfile only"
_COMPRESSION: Final = "the builder decides it"
_ATTACH: Final = "it is a secret of the app: see `fly consul attach`"

_CHECK: Final = _said(
    *("interval", "timeout", "grace_period", "method", "path", "protocol"),
    *("tls_skip_verify", "tls_server_name", "headers"),
)
_TLS: Final = _said("alpn", "versions", "default_self_signed")
_HTTP: Final[Mapping[str, _Known]] = {
    **_said("compress", "h2_backend", "idle_timeout", "headers_read_timeout"),
    "replay_cache": _said("path_prefix", "ttl_seconds", "type", "name", "allow_bypass"),
    "response": _said("headers", "pristine"),
}
_SERVICE: Final[Mapping[str, _Known]] = {
    **_said("internal_port", "auto_stop_machines", "auto_start_machines", "min_machines_running", "processes"),
    "concurrency": _said("type", "soft_limit", "hard_limit"),
    "machine_checks": _PROBES,
}
_SIZE: Final = _said(
    *("size", "memory", "cpu_kind", "cpus", "memory_mb", "max_memory_mb", "gpus", "gpu_kind"),
    *("host_dedication_id", "persist_rootfs", "kernel_args", "processes"),
)
_MOUNT: Final[Mapping[str, _Known]] = {
    **_said("source", "destination", "initial_size", "processes"),
    **dict.fromkeys(("snapshot_retention", "scheduled_snapshots"), "set it with `fly volumes update`"),
    **dict.fromkeys(("auto_extend_size_threshold", "auto_extend_size_increment", "auto_extend_size_limit"), _VOLUMES),
}
_KNOWN: Final[Mapping[str, _Known]] = {
    **_said("app", "primary_region", "kill_signal", "kill_timeout", "swap_size_mb", "env", "processes"),
    **_said("host_dedication_id"),
    "console_command": "`fly console` and its fly.toml are left as they are",
    "machine_config": "put what it says under `config:` of the services",
    "container": "put `containers` under `config:` of the services",
    "machine_checks": _PROBES,
    "experimental": {
        **_said("cmd", "entrypoint", "exec", "kill_timeout", "metrics_port", "metrics_path"),
        "auto_rollback": "an apply that fails stops there, and rolls nothing back",
        "enable_consul": _ATTACH,
        "enable_etcd": "the platform no longer has it",
        "lazy_load_images": "the platform decides it",
        "attached": "secrets of the app reach its machines as they are",
        "machine_config": "put what it says under `config:` of the services",
    },
    "build": {
        **_said("image", "dockerfile", "args", "build-target", "build_target"),
        **dict.fromkeys(("builder", "buildpacks", "builtin", "settings"), _BUILDPACKS),
        "ignorefile": "what a build leaves out stands in .dockerignore beside the Dockerfile",
        **dict.fromkeys(("compression", "compression_level"), _COMPRESSION),
        "compose": "put `containers` under `config:` of the services",
    },
    "deploy": {
        **_said("release_command", "release_command_timeout"),
        "release_command_vm": _SIZE,
        "strategy": _ROLLING,
        "max_unavailable": _ROLLING,
        "wait_timeout": "a changed machine has five minutes to become healthy",
        "seed_command": "declare a task, and invoke it once",
    },
    "http_service": {
        **_SERVICE,
        **_said("force_https"),
        "checks": _CHECK,
        "tls_options": _TLS,
        "http_options": _HTTP,
    },
    "services": {
        **_SERVICE,
        **_said("protocol"),
        "ports": {
            **_said("port", "start_port", "end_port", "handlers", "force_https"),
            "tls_options": _TLS,
            "http_options": _HTTP,
            "proxy_proto_options": _said("version"),
        },
        "tcp_checks": _said("interval", "timeout", "grace_period"),
        "http_checks": _CHECK,
    },
    "checks": {"*": {**_CHECK, **_said("type", "port", "processes", "name")}},
    "files": _said("guest_path", "local_path", "secret_name", "raw_value", "processes"),
    "restart": _said("policy", "retries", "processes"),
    "statics": _said("guest_path", "url_prefix", "tigris_bucket", "index_document"),
    **dict.fromkeys(("vm", "compute", "computes"), _SIZE),
    **dict.fromkeys(("metrics", "metric"), _said("port", "path", "https", "processes")),
    **dict.fromkeys(("mounts", "mount"), _MOUNT),
}
_OF_A_GROUP: Final = frozenset(
    {"http_service", "services", "checks", "files", "restart", "vm", "compute", "computes"}
    | {"metrics", "metric", "mounts", "mount"}
)
_UNKNOWN: Final = "flyctl does not know it"


class Unsaid(Struct, frozen=True):
    """A key of the fly.toml that the spec does not say. `place` is where it stood."""

    place: tuple[str | int, ...]
    why: str
    value: Any = None

    @property
    def key(self) -> str:
        """Return the key as people write it: `services[0].ports[1].port`."""
        text = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in self.place)
        return text.removeprefix(".")

    @property
    def words(self) -> str:
        """Return the key, its value if that is short and may be seen, and the reason."""
        said = self._shown()
        return f"{self.key}{f' = {said}' if said else ''}: {self.why}"

    def _shown(self) -> str:
        if isinstance(self.value, Mapping) or (isinstance(self.value, list) and any(map(_is_nested, self.value))):
            return ""
        text = text_of(self.value)
        is_short = 0 < len(text) <= _LONGEST_VALUE
        return text if is_short and not looks_secret(str(self.place[-1]), text) else ""


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list)


def find_unsaid(document: Mapping[str, Any]) -> tuple[Unsaid, ...]:
    """Return what of the document, as it was read, no draft says."""
    return tuple(_below(document, _KNOWN, ()))


def _below(value: Any, known: _Known, place: tuple[str | int, ...]) -> Iterator[Unsaid]:
    if isinstance(known, str):
        yield Unsaid(place, known, value)
    elif known is not None and isinstance(value, list):
        of_each = known.get("*", known)  # a list of what may also be a table by name
        for number, one in enumerate(value):
            yield from _below(one, of_each, (*place, number))
    elif known is not None and isinstance(value, Mapping):
        for key, member in value.items():
            if key in known or "*" in known:
                yield from _below(member, known.get(key, known.get("*")), (*place, key))
            else:
                yield Unsaid((*place, key), _UNKNOWN, member)


def section_at(document: Mapping[str, Any], place: tuple[str | int, ...]) -> Mapping[str, Any] | None:
    """Return the section at the place, if it is one that a process group has."""
    if place[0] not in _OF_A_GROUP:
        return None
    found: Any = document.get(str(place[0]))
    if place[0] == "checks" and isinstance(found, Mapping):
        found = found.get(place[1])
    elif isinstance(found, list):
        number = place[1] if len(place) > 1 else None
        found = found[number] if isinstance(number, int) and number < len(found) else None
    return found if isinstance(found, Mapping) else None
