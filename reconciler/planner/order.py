"""Decide which change comes before which, as edges. Pure.

The executor knows nothing else of order. An app without machines gets its smallest slot name alone, then the rest: two
first applies meet on that one name. A pool's anchor comes before its other slots, also before those that go, since it
carries what the pool should be; one that goes comes after its successor, and any machine that goes after the one that
is made to keep how its runs ended. Services change one at a time, and the first of each is known as such; none changes
before those of its machines that have crashed, and are as declared, are seen to stay up. What is adopted as it is does
not change: it goes one at a time only where it has checks, whose reports are reset by metadata. A volume has one
machine at a time: what mounts it comes after what frees it, and waits as long as that does.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from msgspec.structs import replace

from reconciler.model.change import Action, Change
from reconciler.model.spec import PoolKind

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
    turns, crashed = _Turns(), _crashed(changes)
    ordered = []
    for change in changes:
        pool, anchor = change.slot.pool, anchors.get(change.slot.pool)
        needs = []
        is_first = False
        if change.is_effective and not change.deferred:
            needs += [first] if first else []
            if change.action in _AFTER_ANCHOR and anchor and not change.clone:
                needs.append(anchor)
            if change.handover and change.handover.successor in addresses:
                needs.append(addresses[change.handover.successor])
            if change.keeper in made:
                needs.append(made[change.keeper])
            if change.kind is PoolKind.SERVICE and change.action in _WRITES_CONFIG and not change.is_marks_only:
                needs += crashed.get(pool, ())
            before, is_first = turns.take(change)
            needs += before
        depends_on = _others(needs, change, anchor, first) if needs else ()
        is_placed = depends_on or is_first
        ordered.append(replace(change, depends_on=depends_on, is_first=is_first) if is_placed else change)
    ordered = _after_clones(ordered)
    return with_volume_edges(ordered)


class _Turns:
    """The order in which the services of each pool change, one at a time.

    What is adopted as it is changes nothing, so it takes a turn only if it has checks: their reports are reset by it.
    """

    def __init__(self) -> None:
        self._last: dict[str, str] = {}
        self._changed: set[str] = set()

    def take(self, change: Change) -> tuple[list[str], bool]:
        """Return what comes right before the change, and whether it is its pool's first."""
        pool = change.slot.pool
        has_checks = change.observed is not None and change.observed.has_checks
        is_alone = change.action in _ROLLS and (has_checks or not change.is_marks_only)
        if change.kind is not PoolKind.SERVICE or not is_alone:
            return [], False
        before = [self._last[pool]] if pool in self._last else []
        is_first = not change.is_marks_only and pool not in self._changed
        self._last[pool] = change.address
        if not change.is_marks_only:
            self._changed.add(pool)
        return before, is_first


def _after_clones(changes: Sequence[Change]) -> list[Change]:
    """Let what makes a machine come after the clone that has its name."""
    names = {change.clone: change.address for change in changes if change.clone and not change.deferred}
    return [
        replace(change, depends_on=(*change.depends_on, names[change.slot.name]))
        if change.action in _MAKES and change.slot.name in names
        else change
        for change in changes
    ]


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


def held_back(changes: Sequence[Change]) -> Sequence[Change]:
    """Defer what mounts a volume of a machine whose own change is deferred.

    The changes are those of one app.
    """
    waiting = [change for change in changes if change.deferred and change.freed]
    if not waiting:
        return changes
    mounting = _by_volume((volume, change) for change in changes if not change.deferred for volume in change.mounted)
    deferred: dict[str, Change] = {}
    while waiting:
        holder = waiting.pop()
        for volume in sorted(holder.freed):
            why = f"volume {volume} is still mounted by {holder.name}: {holder.deferred}"
            for change in mounting.pop(volume, ()):
                if change.address not in deferred:
                    deferred[change.address] = replace(change, deferred=why)
                    waiting.append(deferred[change.address])
    return [deferred.get(change.address, change) for change in changes]


def with_volume_edges(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Let what mounts a volume depend on what frees it.

    No change may then wait for itself: two pools that exchange their volumes get no edges. Each destroys its machine,
    and waits for the other's volume.
    """
    doable = [change for change in changes if change.is_effective and not change.deferred]
    freeing = _by_volume((volume, change) for change in doable for volume in change.freed)
    if not freeing:
        return tuple(changes)
    needs = {
        change.address: [one.address for volume in sorted(change.mounted) for one in freeing.get(volume, ())]
        for change in doable
    }
    placed = _without_cycle({change.address: (*change.depends_on, *needs[change.address]) for change in doable})
    return tuple(
        replace(change, depends_on=tuple(dict.fromkeys((*change.depends_on, *needs[change.address]))))
        if change.address in placed and needs[change.address]
        else change
        for change in changes
    )


def _by_volume(pairs: Iterable[tuple[str, Change]]) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = {}
    for volume, change in pairs:
        found.setdefault(volume, []).append(change)
    return found


def _without_cycle(needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the addresses that are neither part of a cycle nor depend on one."""
    from graphlib import CycleError, TopologicalSorter  # only where volumes are handed on

    sorter, found = TopologicalSorter(needs), set[str]()
    with suppress(CycleError):
        sorter.prepare()  # what it raises leaves the sorter usable, up to the cycle
    while ready := sorter.get_ready():
        found.update(ready)
        sorter.done(*ready)
    return found
