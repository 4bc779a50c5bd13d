"""Give a machine's config back as Fly does: with defaults, and respelled.

Fields that are not known here stay as they were sent.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_DEFAULT_GUEST: Final = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
_MB_PER_CPU: Final = {"shared": 256, "performance": 2048}
_AUTOSTOP: Final = {"stop": True, "off": False}
_DURATIONS: Final = ("interval", "timeout", "grace_period")
_SERVICE_CHECK_MAX_S: Final = 60
_UNITS_NS: Final = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


def as_reported(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config that a GET shows for the one that was sent."""
    reported = {"init": {}, "dns": {}, **config}
    reported["guest"] = _guest(reported)
    reported.pop("size", None)
    for key, shape, decorate in _SECTIONS:
        value = reported.get(key)
        if isinstance(value, shape):
            reported[key] = decorate(value)
    containers = reported.get("containers")
    if containers and not reported.get("image"):
        reported["image"] = next((one["image"] for one in containers if one and one.get("image")), "")
    return reported


def _guest(config: Mapping[str, Any]) -> Any:
    guest = config.get("guest") or {}
    if not isinstance(guest, dict):
        return guest
    kind, _, count = str(config.get("size") or "").removesuffix("x").replace("-cpu-", "-").rpartition("-")
    preset: dict[str, Any] = {}
    if kind in _MB_PER_CPU and count.isdigit():
        preset = {"cpu_kind": kind, "cpus": int(count), "memory_mb": _MB_PER_CPU[kind] * int(count)}
    return _DEFAULT_GUEST | preset | guest


def _init(init: dict[str, Any]) -> dict[str, Any]:
    return {"exec": None, "entrypoint": None, "cmd": None, "tty": False} | init if init else init


def _mounts(mounts: list[Any]) -> list[Any]:
    return [
        {"encrypted": True, "size_gb": 1, "name": "data"} | mount if isinstance(mount, dict) else mount
        for mount in mounts
    ]


def _services(services: list[Any]) -> list[Any]:
    return [_service(service) if isinstance(service, dict) else service for service in services]


def _service(service: dict[str, Any]) -> dict[str, Any]:
    reported = {"force_instance_key": None, **service}
    autostop = service.get("autostop")
    if isinstance(autostop, str):
        reported["autostop"] = _AUTOSTOP.get(autostop, autostop)
    if isinstance(service.get("checks"), list):
        reported["checks"] = [
            _service_check(check) if isinstance(check, dict) else check for check in service["checks"]
        ]
    return reported


def _service_check(check: dict[str, Any]) -> dict[str, Any]:
    interval = nanoseconds(check.get("interval"))
    clamped = {"interval": "1m0s"} if interval is not None and interval > _SERVICE_CHECK_MAX_S * 10**9 else {}
    return _respelled(check | clamped)


def _checks(checks: dict[str, Any]) -> dict[str, Any]:
    return {name: _respelled(check) if isinstance(check, dict) else check for name, check in checks.items()}


def _respelled(value: dict[str, Any]) -> dict[str, Any]:
    """Return the map with its durations as Go spells them."""
    durations = {key: nanoseconds(value.get(key)) for key in _DURATIONS}
    return value | {key: go_duration(ns) for key, ns in durations.items() if ns is not None}


def nanoseconds(value: Any) -> int | None:
    """Return the nanoseconds of a duration in Go's spelling or in nanoseconds.

    None for anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    parts = _PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        return None
    return sum(round(float(number) * _UNITS_NS[unit]) for number, unit in parts)


def go_duration(ns: int) -> str:
    """Return the duration as Go's Duration prints it, like `1h2m3.5s`."""
    if abs(ns) < 10**9:
        for unit, size in (("ms", 10**6), ("µs", 10**3)):
            if abs(ns) >= size:
                return f"{_decimal(ns, size)}{unit}"
        return f"{ns}ns" if ns else "0s"
    minutes, rest = divmod(ns, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 10**9)}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0") if rest else str(whole)


_SECTIONS: Final[tuple[tuple[str, type, Callable[[Any], Any]], ...]] = (
    ("init", dict, _init),
    ("mounts", list, _mounts),
    ("services", list, _services),
    ("checks", dict, _checks),
    ("stop_config", dict, _respelled),
)
