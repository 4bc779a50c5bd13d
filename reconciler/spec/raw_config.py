"""`config:`, which goes to the API as it spells it, beside what our own fields make: nothing may be said twice."""

from typing import Any, Final

from reconciler.model.spec import PoolKind
from reconciler.spec.diagnostics import Findings
from reconciler.spec.yaml_nodes import Entry, Map, Node, Scalar, plain_value

# What a field of ours says whole, whatever else there is to say.
_OURS: Final = {"image": "image", "env": "env", "metadata": "metadata", "schedule": "schedule", "size": "guest"}
# What a field of ours says in part: its other members, or all of it where ours is not there, may stand under `config`.
_SHARED: Final = {
    "init": ("command", "args", "entrypoint", "processes"),
    "processes": ("processes", "command", "args", "entrypoint"),
    "guest": ("guest",),
    "files": ("files",),
    "restart": ("restart",),
    "stop_config": ("stop",),
    "services": ("ports",),
    "checks": ("checks",),
}
_MAPS: Final = frozenset({"init", "guest", "restart", "stop_config"})


def with_verbatim(config: dict[str, Any], node: Map, kind: PoolKind, findings: Findings) -> dict[str, Any]:
    """Return the config with the pool's `config:` in it; what both say is a finding."""
    verbatim = node.get("config")
    if not isinstance(verbatim, Map):
        return config
    if kind is PoolKind.TASK:
        _refuse_auto_destroy(verbatim, findings)
    for key, entry in verbatim.items():
        if key in _OURS:
            _twice(entry.key, key, _OURS[key], findings)
        elif key not in _SHARED:
            config[key] = plain_value(entry.value)
        elif key in _MAPS:
            config[key] = _joined(config.get(key) or {}, key, entry, node, findings)
        elif ours := _declared(key, node):
            _twice(entry.key, key, ours, findings)
        else:
            config[key] = plain_value(entry.value)
    return config


def _refuse_auto_destroy(verbatim: Map, findings: Findings) -> None:
    """A machine that destroys itself takes its runs' ends and the idempotency keys along."""
    entry = verbatim.entries.get("auto_destroy")
    if entry and plain_value(entry.value) not in (None, False):
        findings.add(
            entry.key,
            "a task's machines are kept, so `config.auto_destroy` cannot be set",
            hint="remove it: the machine rests after each run, and costs its disk only",
        )


def _joined(made: dict[str, Any], key: str, entry: Entry, node: Map, findings: Findings) -> dict[str, Any]:
    """What our fields made, and the members that `config` adds; where ours are not declared, in the defaults' place."""
    if not isinstance(entry.value, Map):
        findings.add(entry.value, f"`config.{key}` must be a map, as the API has it")
        return made
    ours = _declared(key, node)
    for name, member in entry.value.items():
        if ours and (name in made or (key == "init" and name in {"exec", "cmd", "entrypoint"})):
            _twice(member.key, f"{key}.{name}", ours, findings)
        elif key == "init" and name in {"exec", "cmd", "entrypoint"} and _has_args_of_their_own(node):
            findings.add(
                member.key, f"`config.init.{name}` and `overrides.args` exclude each other", hint="use `command`"
            )
    return made | dict(plain_value(entry.value))


def _declared(key: str, node: Map) -> str | None:
    """The field of ours that the pool declares for this key of the API's."""
    return next((field for field in _SHARED[key] if field in node.entries), None)


def _has_args_of_their_own(node: Map) -> bool:
    overrides = node.get("overrides")
    args = overrides.get("args") if isinstance(overrides, Map) else None
    return isinstance(args, Scalar) and args.value is True


def _twice(at: Node, key: str, field: str, findings: Findings) -> None:
    findings.add(at, f"`config.{key}` has a field of its own", hint=f"use `{field}`")
