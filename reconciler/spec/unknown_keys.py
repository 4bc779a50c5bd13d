"""What to write instead of a key that a spec does not know: another spelling, another field, or `config:`."""

from collections.abc import Sequence
from typing import Any, Final

from reconciler.canonical.sections import FIELDS, Field, RawConfig, fields_that_say, section_named

_LONGEST_KEY: Final = 64  # of which a likely spelling is looked for


def hint_for_unknown(key: str, known: Sequence[str], path: Sequence[Any]) -> str:
    """Return the way that works; `known` are the keys of the map in question, `path` is where it stands in the spec."""
    if "config" in known and (hints := [hint for hint in (_of_the_other_kind(key), _for_section(key, known)) if hint]):
        return "; ".join(hints)
    import difflib

    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6) if len(key) <= _LONGEST_KEY else []
    field = _field_at(path)
    hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}."
    return f"{hint} {_beside(field)}" if field else hint.removesuffix(".")


def _of_the_other_kind(key: str) -> str | None:
    kind = next((one.only for one in FIELDS if one.name == key), None)
    return f"only a {kind.value} has `{key}`" if kind else None


def _for_section(key: str, known: Sequence[str]) -> str | None:
    """For a section of the API's config, in a pool: the fields that say it here, and whether `config:` can."""
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
    """The field inside which the path is, where `config:` can say more of its section."""
    is_pool = len(path) > 4 and path[0] == "apps" and path[2] in {"tasks", "services"}
    name = path[4] if is_pool else path[2] if path[:1] == ["apps"] and len(path) > 2 else None
    name = path[1] if path[:1] == ["defaults"] and len(path) > 1 else name
    field = next((one for one in FIELDS if one.name == name and one.path), None)
    if field is None or field.path is None:
        return None
    section = section_named(field.path)
    return field if section and section.raw_config is not RawConfig.NOTHING else None


def _beside(field: Field) -> str:
    """How `config:` says what the field lacks: beside it, or in its place."""
    section = section_named(field.path or "")
    place = f", without `{field.name}`" if section and section.raw_config is RawConfig.INSTEAD else ""
    return f"What else the API has goes under `config: {{{field.path}: …}}`{place}"
