"""Bring the sections that the server fills in or re-spells to canonical form.

A form takes the whole config, since deprecated spellings stand in other sections, and returns the section's value:
defaults filled in, durations in nanoseconds, one word for each meaning. `sections.py` says which section has which.
"""

from collections.abc import Mapping
from typing import Any, Final

from reconciler.canonical.durations import nanoseconds
from reconciler.model import marks
from reconciler.model.guest import LEAST_MB_PER_CPU
from reconciler.model.image import reference

_DEFAULT_GUEST: Final = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
_DEFAULT_RESTARTS: Final = 10
_DEFAULT_SOFT_LIMIT: Final = 20
_SERVICE_CHECK_MAX_INTERVAL_NS: Final = 60 * 1_000_000_000
_AUTOSTOP: Final = {"stop": True, "off": False}  # `suspend` has only the one spelling
_COMPAT_CHECKS: Final = "bg_deployments_compat"
_DURATIONS: Final = ("interval", "timeout", "grace_period")
_NOT_THE_USERS: Final = (marks.PREFIX, "fly_")  # how keys of metadata begin
_PERSISTENCE: Final = {0: "never", 1: "never", 2: "restart", 3: "always"}


def canonical_image(document: Mapping[str, Any]) -> Any:
    """Name the image by its digest, or by its content where a spec builds it.

    Then its tag does not count. An image that has only a tag stays as it is written.
    """
    image = document.get("image")
    found = reference(image)
    return (found.identity if found else None) or image


def canonical_guest(document: Mapping[str, Any]) -> Any:
    """Fill in the default size; a preset is its numbers."""
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
    if kind not in LEAST_MB_PER_CPU or not count.isdecimal() or len(count) > 9:
        return {"cpu_kind": size}
    return {"cpu_kind": kind, "cpus": int(count), "memory_mb": LEAST_MB_PER_CPU[kind] * int(count)}


def canonical_restart(document: Mapping[str, Any]) -> Any:
    """Fill in the platform's default policy and retries."""
    restart = dict(document.get("restart") or {})
    policy = restart.get("policy") or "on-failure"
    normal = restart | {"policy": policy}
    if policy == "on-failure":
        normal["max_retries"] = restart.get("max_retries") or _DEFAULT_RESTARTS
    elif normal.get("max_retries") in {None, 0, _DEFAULT_RESTARTS}:
        normal.pop("max_retries", None)
    return normal


def canonical_env(document: Mapping[str, Any]) -> Any:
    """Give each value as a string."""
    return {key: str(value) for key, value in (document.get("env") or {}).items()}


def users_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata without the server's, ours and `fly_*`."""
    return {key: value for key, value in metadata.items() if not key.startswith(_NOT_THE_USERS)}


def canonical_metadata(document: Mapping[str, Any]) -> Any:
    """Leave out the metadata that is not the user's."""
    return users_metadata(document.get("metadata") or {})


def canonical_mounts(document: Mapping[str, Any]) -> Any:
    """Leave out what the volume decorates a mount with."""
    return [_mount(mount) for mount in document.get("mounts") or () if isinstance(mount, dict)]


def _mount(mount: Mapping[str, Any]) -> Any:
    kept = {key: value for key, value in mount.items() if key not in {"name", "size_gb", "encrypted"}}
    return {key: value for key, value in kept.items() if not is_nullish(value) and value != 0}


def canonical_stop_config(document: Mapping[str, Any]) -> Any:
    """Give the timeout in nanoseconds."""
    stop = dict(document.get("stop_config") or {})
    return _with_durations(stop, ("timeout",))


def canonical_checks(document: Mapping[str, Any]) -> Any:
    """Give durations in nanoseconds; leave out checks of the platform's own."""
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


def canonical_services(document: Mapping[str, Any]) -> Any:
    """Use one spelling of `autostop`, of limits and of durations."""
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


def canonical_rootfs(document: Mapping[str, Any]) -> Any:
    """Use one spelling of `persist`, also where it stands inside `guest`."""
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


def is_nullish(value: Any) -> bool:
    """Return whether the server may give the value back or leave it out.

    So it is with null, false, and whatever is empty.
    """
    return value is None or value is False or value == "" or value == {} or value == []
