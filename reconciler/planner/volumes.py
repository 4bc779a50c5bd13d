"""Order changes by volumes: one is freed before it is mounted again. Pure.

A volume has one machine at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from reconciler.model.plan import Change


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
            why = f"volume {volume} is still mounted by {holder.slot.name}: {holder.deferred}"
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
    sorter, found = TopologicalSorter(needs), set[str]()
    with suppress(CycleError):
        sorter.prepare()  # what it raises leaves the sorter usable, up to the cycle
    while ready := sorter.get_ready():
        found.update(ready)
        sorter.done(*ready)
    return found
