"""Which change comes before which, as edges; the executor knows nothing else of order.

An app without machines gets its smallest slot name alone, then the rest: two first applies meet on that one name. A
pool's anchor comes before its other slots, since it carries what the pool should be; one that goes comes after its
heir. Services change one at a time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from reconciler.model.plan import Action, Change
from reconciler.model.spec import PoolKind

_WRITES_CONFIG = frozenset({Action.CREATE, Action.UPDATE, Action.REPLACE, Action.ADOPT})
_ROLLS = frozenset({Action.UPDATE, Action.REPLACE, Action.ADOPT})


def with_edges(changes: Sequence[Change], *, empty_apps: frozenset[str]) -> tuple[Change, ...]:
    """The same changes with `depends_on` filled in. A deferred change is never waited for."""
    first = _first_of_empty_apps(changes, empty_apps)
    anchors = {
        (change.slot.app, change.slot.pool): change.address
        for change in _doable(changes)
        if change.action in _WRITES_CONFIG and change.anchor == change.slot.name
    }
    written = {change.address for change in _doable(changes) if change.action in _WRITES_CONFIG}
    previous: dict[tuple[str, str], str] = {}
    ordered = []
    for change in changes:
        pool = (change.slot.app, change.slot.pool)
        needs = []
        if change.is_effective and not change.deferred:
            needs += [first[change.slot.app]] if change.slot.app in first else []
            if change.action in _WRITES_CONFIG and pool in anchors:
                needs.append(anchors[pool])
            if change.heir and f"{change.slot.app}/{change.heir}" in written:
                needs.append(f"{change.slot.app}/{change.heir}")
            if change.kind is PoolKind.SERVICE and change.action in _ROLLS:
                needs += [previous[pool]] if pool in previous else []
                previous[pool] = change.address
        ordered.append(replace(change, depends_on=_others(needs, change, anchors.get(pool), first)))
    return tuple(ordered)


def _others(needs: list[str], change: Change, anchor: str | None, first: dict[str, str]) -> tuple[str, ...]:
    """The needs less the change itself; the very first change needs nothing, an anchor nothing of its own pool."""
    address = change.address
    if address == first.get(change.slot.app):
        return ()
    if address == anchor:
        needs = [need for need in needs if need == first.get(change.slot.app)]
    return tuple(dict.fromkeys(need for need in needs if need != address))


def _doable(changes: Iterable[Change]) -> list[Change]:
    return [change for change in changes if change.is_effective and not change.deferred]


def _first_of_empty_apps(changes: Sequence[Change], empty_apps: frozenset[str]) -> dict[str, str]:
    first: dict[str, str] = {}
    for change in sorted(_doable(changes), key=lambda change: change.slot.name):
        if change.slot.app in empty_apps and change.action is Action.CREATE:
            first.setdefault(change.slot.app, change.address)
    return first
