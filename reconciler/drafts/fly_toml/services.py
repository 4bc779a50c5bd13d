"""Make the services and checks of a machine config from those of a fly.toml."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from reconciler.drafts.fly_toml.patches import string_of, strings_of, table_of, tables_of
from reconciler.drafts.fly_toml.values import whole_of
from reconciler.errors import UsageError

Config = dict[str, Any]

_AUTOSTOP: Final[Mapping[str | bool, str | bool]] = {
    True: True,
    False: False,
    "stop": True,
    "off": False,
    "suspend": "suspend",
}
_OF_AN_HTTP_CHECK: Final = ("method", "path", "protocol", "tls_skip_verify", "tls_server_name")
_OPTIONS: Final = {"tls_options": ("alpn", "versions", "default_self_signed"), "proxy_proto_options": ("version",)}
_DURATIONS: Final = ("interval", "timeout", "grace_period")


def web_service(web: Mapping[str, Any]) -> Config:
    """Return the service of [http_service]: port 80, and port 443 with TLS."""
    where = "http_service"
    options = web.get("http_options")
    plain = {
        "port": 80,
        "handlers": ["http"],
        "force_https": web.get("force_https"),
        "http_options": options,
    }
    secure = {
        "port": 443,
        "handlers": ["http", "tls"],
        "http_options": options,
        "tls_options": web.get("tls_options"),
    }
    return _service(web, where, "tcp", [plain, secure], web.get("checks") or ())


def machine_service(service: Mapping[str, Any], where: str) -> Config:
    """Return a service of [[services]], with its checks in flyctl's order."""
    protocol = string_of(service.get("protocol"), f"{where}.protocol")
    return _service(
        service, where, protocol, service.get("ports") or (), service["http_checks"], tcp_checks=service["tcp_checks"]
    )


def _service(
    service: Mapping[str, Any],
    where: str,
    protocol: str,
    ports: Sequence[Mapping[str, Any]],
    http_checks: Sequence[Mapping[str, Any]],
    *,
    tcp_checks: Sequence[Mapping[str, Any]] = (),
) -> Config:
    checks = [
        *({"type": "tcp"} | _durations(one) for one in tcp_checks),
        *({"type": "http"} | _http_members(one, f"{where}.checks") for one in http_checks),
    ]
    made = {
        "internal_port": whole_of(service.get("internal_port", 0), f"{where}.internal_port") or None,
        "protocol": protocol,
        "ports": [_port(one, f"{where}.ports") for one in ports],
        "autostop": _autostop(service.get("auto_stop_machines"), where),
        "autostart": _switch(service.get("auto_start_machines"), f"{where}.auto_start_machines"),
        "min_machines_running": _number(service.get("min_machines_running"), f"{where}.min_machines_running"),
        "concurrency": _concurrency(table_of(service.get("concurrency"), f"{where}.concurrency"), where),
        "checks": checks,
    }
    return {key: value for key, value in made.items() if value is not None and value not in ("", [], {})}


def machine_check(check: Mapping[str, Any], where: str) -> Config:
    """Return a check at the top level."""
    kind = string_of(check.get("type"), f"{where}.type")
    if kind not in {"http", "tcp"}:
        raise UsageError(f"{where}.type is {kind!r}, and must be http or tcp", hint="flyctl refuses it too")
    port = _number(check.get("port"), f"{where}.port")
    made = {"type": kind} | ({} if port is None else {"port": port}) | _http_members(check, where)
    return made | ({"method": str(made["method"]).upper()} if "method" in made else {})


def _http_members(check: Mapping[str, Any], where: str) -> Config:
    made = {key: check[key] for key in _OF_AN_HTTP_CHECK if check.get(key) is not None}
    for key in ("method", "path", "protocol", "tls_server_name"):
        string_of(made.get(key), f"{where}.{key}")
    headers = [{"name": name, "values": [value]} for name, value in (check.get("headers") or {}).items()]
    return made | ({"headers": headers} if headers else {}) | _durations(check)


def _durations(check: Mapping[str, Any]) -> Config:
    return {key: check[key] for key in _DURATIONS if check.get(key) is not None}


def _port(port: Mapping[str, Any], where: str) -> Config:
    numbers = {key: _number(port.get(key), f"{where}.{key}") for key in ("port", "start_port", "end_port")}
    made = {
        **numbers,
        "handlers": strings_of(port.get("handlers"), f"{where}.handlers"),
        "force_https": _switch(port.get("force_https"), f"{where}.force_https") or None,
        "tls_options": _options(port, "tls_options", where),
        "http_options": _http_options(port, where),
        "proxy_proto_options": _options(port, "proxy_proto_options", where),
    }
    return {key: value for key, value in made.items() if value is not None and value != []}


def _options(port: Mapping[str, Any], key: str, where: str) -> Config | None:
    """Return the options that flyctl knows; an empty table is one, no table is None."""
    if port.get(key) is None:
        return None
    found = table_of(port[key], f"{where}.{key}")
    made: Config = {one: strings_of(found.get(one), f"{where}.{key}.{one}") for one in ("alpn", "versions")}
    made["default_self_signed"] = _switch(found.get("default_self_signed"), f"{where}.{key}.default_self_signed")
    made["version"] = string_of(found.get("version"), f"{where}.{key}.version")
    return {one: made[one] for one in _OPTIONS[key] if made[one] not in (None, [], "")}


def _http_options(port: Mapping[str, Any], where: str) -> Config | None:
    if port.get("http_options") is None:
        return None
    found = table_of(port["http_options"], f"{where}.http_options")
    known = ("compress", "h2_backend", "idle_timeout", "headers_read_timeout")
    made: Config = {key: found[key] for key in known if found.get(key) is not None}
    if found.get("response") is not None:
        response = table_of(found["response"], f"{where}.http_options.response")
        made["response"] = {
            key: value for key in ("headers", "pristine") if (value := response.get(key)) not in (None, {})
        }
    if replay_cache := tables_of(found.get("replay_cache"), f"{where}.http_options.replay_cache"):
        made["replay_cache"] = [_replay_cache(one) for one in replay_cache]
    return made


def _replay_cache(one: Mapping[str, Any]) -> Config:
    made: Config = {
        "path_prefix": one.get("path_prefix", ""),
        "ttl_seconds": one.get("ttl_seconds", 0),
        "type": one.get("type", ""),
        "name": one.get("name", ""),
    }
    return made | ({"allow_bypass": True} if one.get("allow_bypass") else {})


def _concurrency(limits: Mapping[str, Any], where: str) -> Config:
    kind = string_of(limits.get("type"), f"{where}.concurrency.type")
    numbers = {key: _number(limits.get(key), f"{where}.concurrency.{key}") for key in ("soft_limit", "hard_limit")}
    return ({"type": kind} if kind else {}) | {key: value for key, value in numbers.items() if value}


def _autostop(value: Any, where: str) -> str | bool | None:
    if value is None:
        return None
    if isinstance(value, str | bool) and value in _AUTOSTOP:
        return _AUTOSTOP[value]
    raise UsageError(f"{where}.auto_stop_machines is {value!r}", hint="flyctl has off, stop and suspend")


def _switch(value: Any, where: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise UsageError(f"{where} is {value!r}, and must be true or false", hint="flyctl refuses it too")


def _number(value: Any, where: str) -> int | None:
    return None if value is None else whole_of(value, where)
