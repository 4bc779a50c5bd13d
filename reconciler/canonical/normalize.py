"""One canonical form of a machine config, for what is declared and for what is reported.

The server fills in, re-spells and decorates. None of that is a difference, so both sides are brought to the form that
the server's habits cannot change: defaults filled in, empty values gone, durations in nanoseconds, one word for each
meaning. Marks and other tools' metadata are not part of it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.canonical.durations import nanoseconds
from reconciler.model import marks
from reconciler.model.config import MachineConfig

Canonical = dict[str, Any]

_PRESET_MB_PER_CPU: Final = {"shared": 256, "performance": 2048}
_DEFAULT_GUEST: Final = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
_DEFAULT_RESTARTS: Final = 10
_DEFAULT_SOFT_LIMIT: Final = 20
_SERVICE_CHECK_MAX_INTERVAL_NS: Final = 60 * 1_000_000_000
_AUTOSTOP: Final = {"stop": True, "off": False}  # `suspend` has only the one spelling
_COMPAT_CHECKS: Final = "bg_deployments_compat"
_DURATIONS: Final = ("interval", "timeout", "grace_period")
_PERSISTENCE: Final = {0: "never", 1: "never", 2: "restart", 3: "always"}


def canonical(config: MachineConfig) -> Canonical:
    """The config's canonical form, without any metadata of the server's, of ours or of `fly_*`."""
    document: Canonical = _without_nullish(dict(config.document))
    for key, (kind, normalise) in _SECTIONS.items():
        if key in document and not isinstance(document[key], kind):
            continue  # no config that the platform gives; compared as it is
        value = normalise(document)
        if _is_nullish(value):
            document.pop(key, None)
        else:
            document[key] = value
    document.pop("size", None)
    if "containers" in document:
        document.pop("image", None)  # reported beside containers, though nobody sent it
    return document


def _guest(document: Mapping[str, Any]) -> Any:
    guest = dict(document.get("guest") or {})
    size = guest.pop("size", None) or document.get("size")
    if isinstance(size, str):
        guest = _preset(size) | guest
    guest.pop("persist_rootfs", None)
    if not guest.get("cpu_kind"):
        guest.pop("cpu_kind", None)
    return _DEFAULT_GUEST | guest


def _preset(size: str) -> dict[str, Any]:
    kind, _, count = size.removesuffix("x").replace("-cpu-", "-").rpartition("-")
    if kind not in _PRESET_MB_PER_CPU or not count.isdecimal() or len(count) > 9:
        return {"cpu_kind": size}
    return {"cpu_kind": kind, "cpus": int(count), "memory_mb": _PRESET_MB_PER_CPU[kind] * int(count)}


def _restart(document: Mapping[str, Any]) -> Any:
    restart = dict(document.get("restart") or {})
    policy = restart.get("policy") or "on-failure"
    normal = restart | {"policy": policy}
    if policy == "on-failure":
        normal["max_retries"] = restart.get("max_retries") or _DEFAULT_RESTARTS
    elif normal.get("max_retries") in {None, 0, _DEFAULT_RESTARTS}:
        normal.pop("max_retries", None)
    return normal


def _env(document: Mapping[str, Any]) -> Any:
    return {key: str(value) for key, value in (document.get("env") or {}).items()}


def users_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata without the server's, ours and `fly_*`."""
    return {key: value for key, value in metadata.items() if not (marks.is_mark(key) or key.startswith("fly_"))}


def _metadata(document: Mapping[str, Any]) -> Any:
    return users_metadata(document.get("metadata") or {})


def _mounts(document: Mapping[str, Any]) -> Any:
    return [_mount(mount) for mount in document.get("mounts") or () if isinstance(mount, dict)]


def _mount(mount: Mapping[str, Any]) -> Any:
    kept = {key: value for key, value in mount.items() if key not in {"name", "size_gb", "encrypted"}}
    return {key: value for key, value in kept.items() if not _is_nullish(value) and value != 0}


def _stop_config(document: Mapping[str, Any]) -> Any:
    stop = dict(document.get("stop_config") or {})
    return _with_durations(stop, ("timeout",))


def _checks(document: Mapping[str, Any]) -> Any:
    return {
        name: _check(check)
        for name, check in (document.get("checks") or {}).items()
        if not name.startswith(_COMPAT_CHECKS) and isinstance(check, dict)
    }


def _check(check: Mapping[str, Any]) -> dict[str, Any]:
    normal = _with_durations(dict(check), _DURATIONS)
    if normal.get("kind") == "informational":
        normal.pop("kind")
    return normal


def _services(document: Mapping[str, Any]) -> Any:
    return [_service(service) for service in document.get("services") or () if isinstance(service, dict)]


def _service(service: Mapping[str, Any]) -> dict[str, Any]:
    normal = dict(service)
    autostop = service.get("autostop", False)
    normal["autostop"] = _AUTOSTOP.get(autostop, autostop) if isinstance(autostop, str) else autostop
    if normal.get("min_machines_running") == 0:
        normal.pop("min_machines_running")
    if not normal["autostop"]:
        normal.pop("autostop")
    concurrency = normal.get("concurrency")
    if isinstance(concurrency, dict):
        filled = {"type": "connections", "soft_limit": _DEFAULT_SOFT_LIMIT} | concurrency
        normal["concurrency"] = filled
        if filled == {"type": "connections", "soft_limit": _DEFAULT_SOFT_LIMIT}:
            normal.pop("concurrency")
    if isinstance(normal.get("checks"), list):
        normal["checks"] = [_service_check(check) for check in normal["checks"] if isinstance(check, dict)]
    return normal


def _service_check(check: Mapping[str, Any]) -> dict[str, Any]:
    normal = _check(check)
    interval = normal.get("interval")
    if isinstance(interval, int) and interval > _SERVICE_CHECK_MAX_INTERVAL_NS:
        normal["interval"] = _SERVICE_CHECK_MAX_INTERVAL_NS
    return normal


def _rootfs(document: Mapping[str, Any]) -> Any:
    rootfs = dict(document.get("rootfs") or {})
    if "persist" not in rootfs:
        guest = document.get("guest")
        rootfs["persist"] = guest.get("persist_rootfs", "never") if isinstance(guest, dict) else "never"
    if isinstance(rootfs["persist"], int):
        rootfs["persist"] = _PERSISTENCE.get(rootfs["persist"], rootfs["persist"])
    if rootfs["persist"] == "never":
        rootfs.pop("persist")
    return rootfs


def _with_durations(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return value | {key: nanoseconds(value[key]) for key in keys if key in value}


_SECTIONS: Final[Mapping[str, tuple[type, Callable[[Mapping[str, Any]], Any]]]] = {
    "rootfs": (dict, _rootfs),  # reads the deprecated spelling inside guest, so before it
    "guest": (dict, _guest),
    "restart": (dict, _restart),
    "env": (dict, _env),
    "metadata": (dict, _metadata),
    "mounts": (list, _mounts),
    "stop_config": (dict, _stop_config),
    "checks": (dict, _checks),
    "services": (list, _services),
}


def _is_nullish(value: Any) -> bool:
    """What the server gives back or leaves out as it likes: null, false, and whatever is empty."""
    return value is None or value is False or value == "" or value == {} or value == []


def _without_nullish(value: Any) -> Any:
    """The value without empty members, at any depth; maps whose keys are the user's keep their empty strings.

    `autostart: false` stays: left out, it is for the platform to decide.
    """
    if isinstance(value, dict):
        return {
            key: member if key in {"env", "metadata"} else cleaned
            for key, member in value.items()
            if not _is_nullish(cleaned := _without_nullish(member)) or (key == "autostart" and member is False)
        }
    if isinstance(value, list):
        return [_without_nullish(member) for member in value]
    return value
