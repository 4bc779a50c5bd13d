"""Merge the levels of a spec: the pool over its app, the app over the defaults.

canonical/sections.py says how each field merges, and which it replaces.
"""

from typing import Final

from reconciler.canonical.sections import FIELDS, Merge
from reconciler.spec.yaml_nodes import Entry, Map, Node, is_null, make_map

_MERGES: Final = {field.name: field.merge for field in FIELDS}
_REPLACES: Final = {field.name: field.replaces for field in FIELDS if field.replaces}


def merged(base: Map | None, over: Map) -> Map:
    """Return the fields of `over` on top of those of `base`."""
    if base is None:
        return over
    entries = dict(base.entries)
    for key, entry in over.items():
        below = entries.get(key)
        entries[key] = Entry(key=entry.key, value=_joined(key, below.value, entry.value)) if below else entry
    drop_replaced(entries, over)
    return make_map(over, entries)


def drop_replaced(entries: dict[str, Entry], over: Map) -> None:
    """Take out of `entries` what a field of `over` replaces.

    `image` replaces `build`.
    """
    for field, others in _REPLACES.items():
        for other in others if not is_null(over.get(field)) else ():
            if other not in over.entries:
                entries.pop(other, None)


def _joined(key: str, below: Node, over: Node) -> Node:
    if not isinstance(below, Map) or not isinstance(over, Map):
        return over
    match _MERGES.get(key, Merge.WHOLE):
        case Merge.WHOLE:
            return over
        case Merge.BY_KEY:
            return _by_key(below, over)
        case Merge.DEEP:
            return _deep(below, over)


def _by_key(base: Map, over: Map) -> Map:
    """Merge by key; null takes the base's key away."""
    entries = base.entries | over.entries
    return make_map(over, {key: entry for key, entry in entries.items() if not is_null(entry.value)})


def _deep(base: Map, over: Map) -> Map:
    entries = dict(base.entries)
    for key, entry in over.items():
        below = entries.get(key)
        if below and isinstance(below.value, Map) and isinstance(entry.value, Map):
            entries[key] = Entry(key=entry.key, value=_deep(below.value, entry.value))
        else:
            entries[key] = entry
    return make_map(over, entries)
