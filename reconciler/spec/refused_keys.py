"""Refuse keys that a spec cannot have, and say what to write instead.

A field of the format that does not work yet is refused instead of ignored. Instead of a key that is not known there may
be another spelling, another field, or `config:`.
"""

from collections.abc import Sequence
from typing import Any, Final

from reconciler.canonical.sections import FIELDS, Field, RawConfig, fields_that_say, section_named
from reconciler.spec.diagnostics import Findings
from reconciler.spec.yaml_nodes import Map, Node

# A member leaves this table when it works; whole fields are in canonical/sections.py.
_ROLLOUT: Final = {
    "strategy": "the machines of a service are changed one at a time",
    "max_unavailable": "the machines of a service are changed one at a time",
    "deadline": "a changed machine has five minutes until its checks pass",
    "drain": "a machine is stopped with the signal and the timeout of `stop`",
    "on_failure": "an apply stops at the first machine that does not stay up",
    "keep": "a machine is changed in place",
}
_OF_AN_APP: Final = frozenset({"org", "addresses"})


def refuse_unsupported(root: Map, findings: Findings) -> None:
    """Add a finding for each use of such a field, in the defaults, an app or a pool."""
    _refuse(root.get("defaults"), findings)
    for app in _members(root.get("apps")):
        _refuse(app, findings)
        for kind in ("tasks", "services"):
            for pool in _members(app.get(kind)):
                _refuse(pool, findings)


def _refuse(node: Node | None, findings: Findings) -> None:
    if not isinstance(node, Map):
        return
    for field in FIELDS:
        if field.unsupported and field.name in node.entries:
            findings.add(node.entries[field.name].key, f"`{field.name}` is not supported yet", hint=field.unsupported)
    rollout = node.get("rollout")
    if not isinstance(rollout, Map):
        return
    for key, hint in _ROLLOUT.items():
        if key in rollout.entries:
            findings.add(rollout.entries[key].key, f"`rollout.{key}` is not supported yet", hint=hint)


def _members(node: Node | None) -> list[Map]:
    if not isinstance(node, Map):
        return []
    return [entry.value for _, entry in node.items() if isinstance(entry.value, Map)]


def hint_for_unknown(key: str, known: Sequence[str], path: Sequence[Any]) -> str:
    """Return a hint that says what to write in place of the key.

    `known` are the keys that this map may have. `path` is its place in the spec.
    """
    if "config" in known and (hints := [hint for hint in (_of_the_other_kind(key), _for_section(key, known)) if hint]):
        return "; ".join(hints)
    from reconciler.spec.near_names import hint_for_field

    field = _field_at(path)
    hint = hint_for_field(key, known) or f"known here: {', '.join(known)}"
    return f"{hint}{'' if hint.endswith('?') else '.'} {_beside(field)}" if field else hint


def _of_the_other_kind(key: str) -> str | None:
    if key in _OF_AN_APP:
        return f"only an app has `{key}`"
    kind = next((one.only for one in FIELDS if one.name == key), None)
    return f"only a {kind.value} has `{key}`" if kind else None


def _for_section(key: str, known: Sequence[str]) -> str | None:
    """Return a hint for the name of a section of the API's config, used in a pool.

    It names the fields to use, and `config:` if that may have the section.
    """
    section = section_named(key)
    if section is None:
        return None
    members = [one.name for one in FIELDS if one.path and one.path.partition(".")[0] == key]
    fields = [name for name in [*members, *(one.name for one in fields_that_say(key))] if name in known]
    words = f"use {' or '.join(f'`{name}`' for name in dict.fromkeys(fields))}" if fields else ""
    if section.raw_config is RawConfig.NOTHING:
        return words or None
    raw = f"put it under `config:`, as the API spells it: `config: {{{key}: …}}`"
    return f"{words}, or {raw}" if words else raw


def _field_at(path: Sequence[Any]) -> Field | None:
    """Return the field that the path is inside, if `config:` can say more of it."""
    is_pool = len(path) > 4 and path[0] == "apps" and path[2] in {"tasks", "services"}
    name = path[4] if is_pool else path[2] if path[:1] == ["apps"] and len(path) > 2 else None
    name = path[1] if path[:1] == ["defaults"] and len(path) > 1 else name
    field = next((one for one in FIELDS if one.name == name and one.path), None)
    if field is None or field.path is None:
        return None
    section = section_named(field.path)
    return field if section and section.raw_config is not RawConfig.NOTHING else None


def _beside(field: Field) -> str:
    """Say how `config:` gives what the field lacks: beside it, or in its place."""
    section = section_named(field.path or "")
    place = f", without `{field.name}`" if section and section.raw_config is RawConfig.INSTEAD else ""
    return f"What else the API has goes under `config: {{{field.path}: …}}`{place}"
