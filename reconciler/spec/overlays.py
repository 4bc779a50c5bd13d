"""Lay one file of a spec over another.

Maps merge, lists and scalars replace, null takes away. This is done on the trees, before variables are filled in. Each
node keeps its own file and place; a map that several files have stands where the lowest of them has it.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from reconciler.spec.diagnostics import Findings
from reconciler.spec.merge import drop_replaced
from reconciler.spec.yaml_nodes import Entry, Map, Node, is_null, make_map

_Level: TypeAlias = "Mapping[str, _Level] | None"  # by key; None where the spec itself takes null

_ANY: Final = "*"
_POOL: Final[Mapping[str, _Level]] = {
    "env": None,
    "metadata": None,
    "config": None,
}
_POOLS: Final[Mapping[str, _Level]] = {_ANY: _POOL}
_APP: Final[Mapping[str, _Level]] = {**_POOL, "tasks": _POOLS, "services": _POOLS}
_ROOT: Final[Mapping[str, _Level]] = {"defaults": _POOL, "apps": {_ANY: _APP}}
_OTHER: Final[Mapping[str, _Level]] = {}


def lay_over(below: Node, over: Node, findings: Findings) -> Node:
    """Return the spec `below` with the file `over` on top of it.

    A null that takes nothing away is a finding: its key is probably misspelt.
    """
    if is_null(over):
        return below
    if not isinstance(over, Map):
        hint = "begin it with what it changes, such as `apps: …`"
        findings.add(over, "an overlay is a map, like the spec that it lies over", hint=hint)
        return below
    return _merged(below, over, _ROOT, findings) if isinstance(below, Map) else below


def _merged(below: Map, over: Map, level: _Level, findings: Findings) -> Map:
    entries = dict(below.entries)
    for key, entry in over.items():
        lower, inner = entries.get(key), _below(level, key)
        # Where the spec takes null, it stays: it takes away what the defaults or the app say, too.
        if is_null(entry.value) and level is not None:
            if lower is None:
                _add_nothing_to_take(below, entry, findings)
            entries.pop(key, None)
        elif lower and isinstance(lower.value, Map) and isinstance(entry.value, Map):
            entries[key] = Entry(key=lower.key, value=_merged(lower.value, entry.value, inner, findings))
        else:
            entries[key] = entry
    if level is _POOL or level is _APP:
        drop_replaced(entries, over)
    return make_map(below, entries, size=1 + sum(entry.value.size for entry in entries.values()))


def _add_nothing_to_take(below: Map, entry: Entry, findings: Findings) -> None:
    from reconciler.spec.near_names import nearest  # only for a misspelt key

    near = nearest(entry.key.text, below.entries)
    hint = f"did you mean `{near}`?" if near else "remove the line"
    what = f"`{entry.key.text}: null` takes nothing away"
    findings.add(entry.key, f"{what}: {below.file} has no such key here", hint=hint)


def _below(level: _Level, key: str) -> _Level:
    return None if level is None else level.get(key, level.get(_ANY, _OTHER))
