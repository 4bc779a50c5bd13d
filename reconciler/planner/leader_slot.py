"""Decide which slot of a pool is its anchor, and what it announces first. Pure.

The anchor keeps what concerns the whole pool. An invoke believes its mark `want` and brings the machine that it takes
to that config. If the other machines of a pool were new while its anchor still named the old config, invokes would take
them back, run by run.
"""

from collections.abc import Iterable, Iterator

from reconciler.model import marks
from reconciler.model.change import Action, Change
from reconciler.model.machine import Machine
from reconciler.model.plan import Announcement
from reconciler.model.spec import App, Pool, PoolKind, Slot
from reconciler.planner.pair import Paired

_CARRIES: frozenset[Action] = frozenset({Action.CREATE, Action.UPDATE, Action.REPLACE, Action.ADOPT})


def anchors_of(paired: Paired, pools: Iterable[Pool]) -> dict[str, str | None]:
    """Return each pool's anchor: the slot that was it when it was first applied.

    That holds while the slot is being removed from the spec: it hands over before it goes. Without such a slot it is
    the successor.
    """
    leaving: dict[str, str] = {}
    for slot, machine in paired.orphans.items():
        if machine.metadata.get(marks.ANCHOR) == machine.name:
            leaving.setdefault(slot.pool, machine.name)
    return {pool.name: leaving.get(pool.name) or successor_of(pool, paired) for pool in pools}


def successor_of(pool: Pool, paired: Paired) -> str | None:
    """Return the slot that becomes the anchor.

    It is the slot of the spec that the machines name as their anchor, else the smallest whose machine cannot be
    observed, as that may be the anchor, else the smallest with a machine, else the smallest. In a plan of some regions,
    a slot elsewhere counts only if its machine is there: none is made for it.
    """
    slots = [slot for slot in pool.slots if _may_be_there(slot, paired)]
    names = {slot.name for slot in slots}
    machines = [paired.by_slot[slot] for slot in slots if slot in paired.by_slot]
    named = {mark for machine in machines if (mark := machine.metadata.get(marks.ANCHOR)) in names and mark}
    if named:
        return min(named)
    there = [slot for slot in slots if slot in paired.unreachable] or [slot for slot in slots if slot in paired.by_slot]
    smallest = min(there, key=_by_number, default=min(slots, key=_by_number, default=None))
    return smallest.name if smallest else None


class Successors:
    """The slots that become the anchors of an app's pools, each found once."""

    def __init__(self, paired: Paired) -> None:
        self._paired = paired
        self._found: dict[str, Slot | None] = {}

    def of(self, pool: Pool) -> Slot | None:
        """Return the pool's `successor_of`, as a slot."""
        if pool.name not in self._found:
            name = successor_of(pool, self._paired)
            self._found[pool.name] = next((slot for slot in pool.slots if slot.name == name), None)
        return self._found[pool.name]


def _may_be_there(slot: Slot, paired: Paired) -> bool:
    return paired.selection.has_region(slot.region) or slot in paired.by_slot or slot in paired.unreachable


def _by_number(slot: Slot) -> tuple[int, str]:
    return slot.number, slot.region


def announcements_of(app: App, paired: Paired, changes: Iterable[Change]) -> Iterator[Announcement]:
    """Return the announcements that the app's changes need.

    There is none if the anchor's own change carries the mark.
    """
    effective: dict[str, list[Change]] = {}
    for change in changes:
        if change.is_effective:
            effective.setdefault(change.slot.pool, []).append(change)
    tasks = [pool for pool in app.pools if pool.kind is PoolKind.TASK and pool.name in effective]
    for pool in tasks:
        if pool.has_slots and (needed := _announcement(app, pool, paired, effective[pool.name])):
            yield needed


def _announcement(app: App, pool: Pool, paired: Paired, changes: Iterable[Change]) -> Announcement | None:
    dark = _dark_anchor(paired, pool)
    anchor = dark.name if dark else anchors_of(paired, (pool,))[pool.name]
    machine = None if dark else next((one for one in paired.owned if one.name == anchor), None)
    own = [change for change in changes if change.slot.name == anchor and not change.is_alone]
    if anchor is None or any(change.action in _CARRIES and not change.deferred for change in own):
        return None
    desired = paired.digests.of(pool.config)
    if dark is None and (machine is None or desired.is_told_by(_wants(machine), live=machine.config)):
        return None
    return Announcement(
        app=app.name,
        pool=pool.name,
        anchor=anchor,
        machine_id=machine.id if machine else None,
        desired_digest=desired.text,
        image_digest=pool.resolved_digest,
        doubt=dark.doubt if dark else "",
    )


def _wants(anchor: Machine) -> str:
    return marks.parse_want(anchor.metadata.get(marks.WANT, "")).digest


def _dark_anchor(paired: Paired, pool: Pool) -> Machine | None:
    """Return the machine that the others name as anchor, if it cannot be observed."""
    dark = [machine for slot, machine in paired.unreachable.items() if slot.pool == pool.name]
    named = {one.metadata.get(marks.ANCHOR) for one in paired.owned if one.metadata.get(marks.POOL) == pool.name}
    return min((machine for machine in dark if machine.name in named), key=lambda one: one.name, default=None)
