"""Decide which change comes before which, as edges.

The executor knows nothing else of order. An app without machines gets its smallest slot name alone, then the rest: two
first applies meet on that one name. A pool's anchor comes before its other slots, also before those that go, since it
carries what the pool should be; one that goes comes after its successor, and any machine that goes after the one that
is made to keep how its runs ended. Services change one at a time, and the first of each is known as such; none changes
before those of its machines that have crashed, and are as declared, are seen to stay up. What mounts a volume comes
after what frees it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from reconciler.model.plan import Action, Change
from reconciler.model.spec import PoolKind
from reconciler.planner.volumes import with_volume_edges

_WRITES_CONFIG = frozenset({Action.CREATE, Action.UPDATE, Action.REPLACE, Action.ADOPT})
_AFTER_ANCHOR = _WRITES_CONFIG | {Action.DESTROY}
_MAKES = frozenset({Action.CREATE, Action.REPLACE})
_ROLLS = frozenset({Action.UPDATE, Action.REPLACE, Action.ADOPT})


def with_edges(changes: Sequence[Change], *, is_empty: bool) -> tuple[Change, ...]:
    """Return the changes of one app with `depends_on` filled in.

    `is_empty` says that the app has no machines yet. Nothing waits for a deferred change.
    """
    doable = [change for change in changes if change.is_effective and not change.deferred]
    first = _first_of(doable) if is_empty else None
    written = [change for change in doable if change.action in _WRITES_CONFIG]
    anchors = {change.slot.pool: change.address for change in written if change.anchor == change.slot.name}
    addresses = {change.slot.name: change.address for change in written}
    made = {change.slot.name: change.address for change in written if change.action in _MAKES}
    previous: dict[str, str] = {}
    crashed = _crashed(changes)
    ordered = []
    for change in changes:
        pool, anchor = change.slot.pool, anchors.get(change.slot.pool)
        needs = []
        is_first = False
        if change.is_effective and not change.deferred:
            needs += [first] if first else []
            if change.action in _AFTER_ANCHOR and anchor:
                needs.append(anchor)
            if change.handover and change.handover.successor in addresses:
                needs.append(addresses[change.handover.successor])
            if change.keeper in made:
                needs.append(made[change.keeper])
            if change.kind is PoolKind.SERVICE and change.action in _WRITES_CONFIG:
                needs += crashed.get(pool, ())
            if change.kind is PoolKind.SERVICE and change.action in _ROLLS:
                is_first = pool not in previous
                needs += [] if is_first else [previous[pool]]
                previous[pool] = change.address
        depends_on = _others(needs, change, anchor, first) if needs else ()
        is_placed = depends_on or is_first
        ordered.append(replace(change, depends_on=depends_on, is_first=is_first) if is_placed else change)
    return with_volume_edges(ordered)


def _others(needs: list[str], change: Change, anchor: str | None, first: str | None) -> tuple[str, ...]:
    """Return the needs less the change itself.

    The very first change needs nothing, an anchor nothing of its own pool.
    """
    address = change.address
    if address == first:
        return ()
    if address == anchor:
        needs = [need for need in needs if need == first]
    return tuple(dict.fromkeys(need for need in needs if need != address))


def _crashed(changes: Iterable[Change]) -> dict[str, list[str]]:
    """Return by pool what is as declared and has crashed.

    If its config was sent to others, they would crash as well.
    """
    found: dict[str, list[str]] = {}
    for change in changes:
        if change.has_crashed:
            found.setdefault(change.slot.pool, []).append(change.address)
    return found


def _first_of(doable: Iterable[Change]) -> str | None:
    """Return the change that makes the app's first machine."""
    created = [change for change in doable if change.action is Action.CREATE]
    first = min(created, key=lambda change: change.slot.name, default=None)
    return first.address if first else None
