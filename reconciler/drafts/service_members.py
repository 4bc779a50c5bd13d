"""Write a service's ports and checks in the spec's own fields.

Where those cannot say them, the answer is None, and `config:` says them as the API does.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from reconciler.model.run_policy import LONGEST_S

_WEB: Final = [{"port": 80, "handlers": ["http"]}, {"port": 443, "handlers": ["tls", "http"]}]
_WEB_BY_HTTPS: Final = [_WEB[0] | {"force_https": True}, _WEB[1]]
_HANDLERS: Final = frozenset({"http", "tls", "pg_tls", "proxy_proto", "edge_http"})
_AUTOSTOP: Final[Mapping[Any, str | None]] = {
    False: None,
    "off": None,
    True: "stop",
    "stop": "stop",
    "suspend": "suspend",
}
_OF_A_SERVICE: Final = frozenset(
    {"internal_port", "protocol", "ports", "autostart", "autostop", "min_machines_running", "concurrency"}
)
_OF_A_CHECK: Final = frozenset(
    {"type", "port", "path", "method", "protocol", "headers", "interval", "timeout", "grace_period"}
)
_DURATION: Final = re.compile(r"(?:(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h))+", re.ASCII)
_MOST_DIGITS: Final = 9


def ports_of(services: Any) -> list[Any] | None:
    """Return the field `ports` for the services of a config."""
    if not _is_list_of_maps(services):
        return None
    found = [_port_field(one) for one in services]
    taken = [port.get("port") for one in services for port in one.get("ports") or () if isinstance(port, dict)]
    return None if None in found or len(set(taken)) < len(taken) else found


def _port_field(service: Mapping[str, Any]) -> Any:
    ports = service.get("ports")
    is_known = service.keys() <= _OF_A_SERVICE and service.get("autostart") is True
    if not is_known or not is_number(service.get("internal_port"), 1, 65535) or not _is_list_of_maps(ports):
        return None
    served = _served(service.get("protocol"), ports or [])
    rest = _resting(service)
    if served is None or rest is None:
        return None
    field = {"internal_port": service["internal_port"], **served, **rest}
    return field["internal_port"] if len(field) == 1 else field


def _served(protocol: Any, ports: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the members that say where a service is served."""
    if protocol == "tcp" and ports in (_WEB, _WEB_BY_HTTPS):
        return {"force_https": True} if ports == _WEB_BY_HTTPS else {}
    numbers = [one.get("port") for one in ports]
    handlers = ports[0].get("handlers") or [] if ports else None
    is_alike = all(one.keys() <= {"port", "handlers"} and (one.get("handlers") or []) == handlers for one in ports)
    if not numbers or not is_alike or not all(is_number(one, 1, 65535) for one in numbers):
        return None
    if not isinstance(handlers, list) or not all(isinstance(one, str) and one in _HANDLERS for one in handlers):
        return None
    if protocol not in ("tcp", "udp"):
        return None
    served: dict[str, Any] = {"protocol": protocol, "port": numbers[0] if len(numbers) == 1 else numbers}
    return served | ({"handlers": handlers} if handlers else {})


def _resting(service: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the members that say when machines rest, and how much one takes."""
    autostop, least = service.get("autostop", False), service.get("min_machines_running", 0)
    if not isinstance(autostop, str | bool) or autostop not in _AUTOSTOP or not is_number(least, 0, 10**6):
        return None
    found: dict[str, Any] = {}
    if word := _AUTOSTOP[autostop]:
        found["autostop"] = word
    if least:
        found["min_machines_running"] = least
    concurrency = service.get("concurrency") or {}
    if not isinstance(concurrency, dict) or not concurrency.keys() <= {"type", "soft_limit", "hard_limit"}:
        return None
    limits = [value for key, value in concurrency.items() if key != "type"]
    kind = concurrency.get("type", "connections")
    if kind not in ("connections", "requests") or not all(is_number(one, 1, 10**9) for one in limits):
        return None
    return found | ({"concurrency": concurrency} if concurrency else {})


def checks_of(checks: Any) -> dict[str, Any] | None:
    """Return the field `checks` for the checks of a config."""
    if not isinstance(checks, dict):
        return None
    found = {name: _check_field(check) for name, check in checks.items()}
    return None if None in found.values() else found


def _check_field(check: Any) -> dict[str, Any] | None:
    if not isinstance(check, dict):
        return None
    check = {key: value for key, value in check.items() if (key, value) != ("kind", "informational")}
    path, kind = check.get("path"), check.get("type")
    if not check.keys() <= _OF_A_CHECK or not is_number(check.get("port"), 1, 65535) or kind not in ("tcp", "http"):
        return None
    if path is not None and not (isinstance(path, str) and path.startswith("/")):
        return None
    if check.get("protocol") not in (None, "http", "https") or not isinstance(check.get("method"), str | None):
        return None
    if not all(is_duration(check[key]) for key in ("interval", "timeout", "grace_period") if key in check):
        return None
    field = {key: value for key, value in check.items() if key not in {"headers", "type"}}
    if kind != ("http" if path is not None else "tcp"):
        field = {"type": kind, **field}
    if "headers" not in check:
        return field
    headers = _headers_field(check["headers"])
    return None if headers is None else field | {"headers": headers}


def _headers_field(headers: Any) -> dict[str, str] | None:
    """Return a map of the headers, if each has one value and a name of its own."""
    if not _is_list_of_maps(headers):
        return None
    found: dict[str, str] = {}
    for one in headers:
        name, values = one.get("name"), one.get("values")
        is_one = isinstance(values, list) and len(values) == 1 and isinstance(values[0], str)
        if one.keys() != {"name", "values"} or not isinstance(name, str) or not is_one or name in found:
            return None
        found[name] = values[0]
    return found


def is_duration(value: Any, *, longest_s: float = LONGEST_S) -> bool:
    """Return whether a spec can say this duration: text such as `1m30s`."""
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        return False
    units_s = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value, flags=re.ASCII)
    return sum(float(number) * units_s[unit] for number, unit in parts) <= longest_s


def is_number(value: Any, least: int, most: int) -> bool:
    """Return whether it is a whole number in this range; true and false are none."""
    return type(value) is int and least <= value <= most


def _is_list_of_maps(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)
