"""Bring the spellings that a fly.toml ever had to those of today, as flyctl does.

Tables that were lists, ports in quotes, milliseconds, `[experimental]`: the result has one spelling of each. What
flyctl refuses is a UsageError that names the key.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.drafts.fly_toml.values import duration_of, text_of, whole_of
from reconciler.errors import UsageError

_Table = dict[str, Any]


def patched(document: Mapping[str, Any]) -> _Table:
    """Return the document in the spelling of today. Raises UsageError."""
    found = dict(document)
    found["env"] = _env(found.get("env", {}), "[env]")
    found["services"] = [
        _service(one, f"services[{number}]")
        for number, one in enumerate(tables_of(found.get("services"), "services"))
        if one
    ]
    found["http_service"] = _http_service(found.get("http_service"))
    found["processes"] = _processes(found.get("processes"))
    _patch_experimental(found)
    found["checks"] = _top_level_checks(found.get("checks"))
    for name, spellings in {
        "vm": ("compute", "computes", "vm"),
        "mounts": ("mount", "mounts"),
        "metrics": ("metric", "metrics"),
    }.items():
        found[name] = [one for key in spellings for one in tables_of(found.pop(key, None), key)]
    for name in ("files", "restart", "statics"):
        found[name] = tables_of(found.get(name), name)
    found["kill_timeout"] = duration_of(found.get("kill_timeout"), "kill_timeout", unit="s")
    for name in ("build", "deploy", "experimental"):
        found[name] = table_of(found.get(name), f"[{name}]")
    if "build_target" in found["build"]:
        found["build"]["build-target"] = found["build"].pop("build_target")
    return found


def table_of(value: Any, where: str) -> _Table:
    """Return a table as a new dict, an empty one if there is none."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    raise UsageError(f"{where} is no table", hint="flyctl refuses it too")


def tables_of(value: Any, where: str) -> list[_Table]:
    """Return a list of tables; one table alone is a list of one."""
    if value is None:
        return []
    return [table_of(one, where) for one in (value if isinstance(value, list) else [value])]


def strings_of(value: Any, where: str) -> list[str]:
    """Return a list of strings; one string alone is a list of one."""
    if value is None:
        return []
    found = [value] if isinstance(value, str) else value
    if isinstance(found, list) and all(isinstance(one, str) for one in found):
        return list(found)
    raise UsageError(f"{where} is no list of strings", hint="flyctl refuses it too")


def string_of(value: Any, where: str) -> str:
    """Return a string, an empty one if there is none."""
    if value is None or isinstance(value, str):
        return value or ""
    raise UsageError(f"{where} is no string: {text_of(value)}", hint="put it in quotes: flyctl refuses it too")


def _env(value: Any, where: str) -> dict[str, str]:
    if isinstance(value, list):
        return {name: text for one in value for name, text in _env(one, where).items()}
    return {name: text_of(one) for name, one in table_of(value, where).items()}


def _processes(value: Any) -> dict[str, str]:
    if isinstance(value, list):
        named = [one for one in value if isinstance(one, Mapping) and "name" in one]
        return {text_of(one["name"]): text_of(one.get("command", "")) for one in named}
    return {name: string_of(command, f"processes.{name}") for name, command in table_of(value, "[processes]").items()}


def _patch_experimental(found: _Table) -> None:
    experimental = found["experimental"] = table_of(found.get("experimental"), "[experimental]")
    for name in ("cmd", "entrypoint", "exec"):
        if name in experimental:
            experimental[name] = strings_of(experimental[name], f"experimental.{name}")
    if "kill_timeout" in experimental:
        found.setdefault("kill_timeout", experimental["kill_timeout"])
    metrics = {key: experimental[f"metrics_{key}"] for key in ("port", "path") if f"metrics_{key}" in experimental}
    if metrics and "metrics" not in found:
        found["metrics"] = metrics


def _top_level_checks(value: Any) -> dict[str, _Table]:
    if isinstance(value, list):
        unnamed = [one for one in value if not isinstance(one, Mapping) or not isinstance(one.get("name"), str)]
        if unnamed:
            raise UsageError("[[checks]] has no `name`", hint="flyctl refuses it too")
        value = {one["name"]: one for one in value}
    named = table_of(value, "[checks]")
    return {name: _check(table_of(one, f"checks.{name}"), f"checks.{name}") for name, one in named.items()}


def _service(service: _Table, where: str) -> _Table:
    if "concurrency" in service:
        service["concurrency"] = _concurrency(service["concurrency"], f"{where}.concurrency")
    if "ports" in service:
        service["ports"] = [_port(one, f"{where}.ports") for one in tables_of(service["ports"], f"{where}.ports")]
    for kind in ("tcp_checks", "http_checks"):
        service[kind] = [_check(one, f"{where}.{kind}") for one in tables_of(service.get(kind), f"{where}.{kind}")]
    if "internal_port" in service:
        service["internal_port"] = whole_of(service["internal_port"], f"{where}.internal_port")
    return service


def _http_service(value: Any) -> _Table | None:
    if value is None:  # an empty table is a service
        return None
    service = table_of(value, "[http_service]")
    if "checks" in service:
        found = tables_of(service["checks"], "http_service.checks")
        # Unlike those of [[services]], numbers are nanoseconds here.
        service["checks"] = [_check(one, "http_service.checks", unit="ns") for one in found]
    return service


def _concurrency(value: Any, where: str) -> _Table:
    if not isinstance(value, str):
        return table_of(value, where)
    soft, _, hard = value.partition(",")
    return {"type": "requests", "hard_limit": whole_of(hard, where), "soft_limit": whole_of(soft, where)}


def _port(port: _Table, where: str) -> _Table:
    return port | ({"port": whole_of(port["port"], f"{where}.port")} if "port" in port else {})


def _check(check: _Table, where: str, *, unit: str = "ms") -> _Table:
    for name in ("interval", "timeout", "grace_period"):
        if name in check:
            check[name] = duration_of(check[name], f"{where}.{name}", unit=unit)
    if "headers" in check:
        check["headers"] = _headers(check["headers"], f"{where}.headers")
    return check


def _headers(value: Any, where: str) -> dict[str, str]:
    if isinstance(value, list):
        named = tables_of(value, where)
        if any("name" not in one for one in named):
            raise UsageError(f"{where} has no `name`", hint="flyctl refuses it too")
        return {text_of(one["name"]): text_of(one.get("value", "")) for one in named}
    return {name: text_of(one) for name, one in table_of(value, where).items()}
