"""Lay `config:`, in the API's spelling, over what our own fields make.

Nothing may be said twice. canonical/sections.py has what `config:` may say of which section.
"""

from typing import Any

from reconciler.canonical.sections import Field, RawConfig, fields_that_say, section_named
from reconciler.model.spec import PoolKind
from reconciler.spec.diagnostics import Findings
from reconciler.spec.yaml_nodes import Entry, Map, Node, Scalar, is_null, plain_value

_REPLACED_BY_ARGS = frozenset({"init.exec", "init.cmd", "init.entrypoint"})


def with_raw_config(config: dict[str, Any], node: Map, kind: PoolKind, findings: Findings) -> dict[str, Any]:
    """Return the config with the pool's `config:` in it; what both say is a finding."""
    raw = node.get("config")
    if not isinstance(raw, Map):
        return config
    if kind is PoolKind.TASK:
        _refuse_auto_destroy(raw, findings)
    for key, entry in raw.items():
        section = section_named(key)
        match section.raw_config if section else RawConfig.ALL:
            case RawConfig.ALL:
                config[key] = plain_value(entry.value)
            case RawConfig.NOTHING:
                _twice(entry.key, key, f"use `{fields_that_say(key)[0].name}`", findings)
            case RawConfig.MEMBERS if is_null(entry.value):
                config.setdefault(key, None)  # it takes away what the defaults' `config:` said, and no more
            case RawConfig.MEMBERS:
                config[key] = _joined(config.get(key) or {}, key, entry, node, findings)
            case RawConfig.INSTEAD:
                if declared := _declared(key, node):
                    hint = f"use `{_own(key, declared)}`, or leave it out and say all of it under `config`"
                    _twice(entry.key, key, hint, findings)
                else:
                    config[key] = plain_value(entry.value)
    return config


def _refuse_auto_destroy(raw: Map, findings: Findings) -> None:
    """Refuse `auto_destroy` for a task.

    A machine that destroys itself takes its runs' ends and the idempotency keys along.
    """
    entry = raw.entries.get("auto_destroy")
    if entry and plain_value(entry.value) not in (None, False):
        findings.add(
            entry.key,
            "a task's machines are kept, so `config.auto_destroy` cannot be set",
            hint="remove it: the machine rests after each run, and costs its disk only",
        )


def _joined(made: dict[str, Any], key: str, entry: Entry, node: Map, findings: Findings) -> dict[str, Any]:
    """Join what our fields made with the members that `config` adds.

    What our fields did not declare is a default, which `config` replaces.
    """
    if not isinstance(entry.value, Map):
        hint = f"write it as `config: {{{key}: {{…}}}}`"
        findings.add(entry.value, f"`config.{key}` must be a map, as the API has it", hint=hint)
        return made
    whole = _declared(key, node)
    for name, member in entry.value.items():
        path = f"{key}.{name}"
        if declared := _declared(path, node) or (whole if name in made else ()):
            _twice(member.key, path, _way(path, declared), findings)
        elif path in _REPLACED_BY_ARGS and _has_args_of_their_own(node):
            findings.add(member.key, f"`config.{path}` and `overrides.args` exclude each other", hint="use `command`")
    return made | dict(plain_value(entry.value))


def _declared(path: str, node: Map) -> tuple[Field, ...]:
    """Return the declared fields that say what is at this path of the config."""
    return tuple(field for field in fields_that_say(path) if field.name in node.entries)


def _way(path: str, declared: tuple[Field, ...]) -> str:
    """Say how the pool can have what `config:` says at the path."""
    if own := _own(path, declared):
        return f"use `{own}`"
    names = " and ".join(f"`{field.name}`" for field in declared)
    return f"leave {names} out: `{path}` runs in place of a command"


def _own(path: str, declared: tuple[Field, ...]) -> str | None:
    """Return the field to use: one with this path, unless a declared one excludes it."""
    first = declared[0]
    if first.path in {path, path.partition(".")[0]}:
        return first.name
    own = next((field.name for field in fields_that_say(path) if field.path == path), None)
    return first.name if own in first.replaces else own


def _has_args_of_their_own(node: Map) -> bool:
    overrides = node.get("overrides")
    args = overrides.get("args") if isinstance(overrides, Map) else None
    return isinstance(args, Scalar) and args.value is True


def _twice(at: Node, key: str, hint: str, findings: Findings) -> None:
    findings.add(at, f"`config.{key}` has a field of its own", hint=hint)
