"""Decide which slot of a pool keeps what concerns the whole pool. Pure."""

from collections.abc import Iterable

from reconciler.model import marks
from reconciler.model.spec import Pool, Slot
from reconciler.planner.pair import Paired


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

    It is the slot of the spec that the machines name as their anchor, else the smallest with a machine, else the
    smallest.
    """
    slots = pool.slots
    names = {slot.name for slot in slots}
    machines = [paired.by_slot[slot] for slot in slots if slot in paired.by_slot]
    named = {mark for machine in machines if (mark := machine.metadata.get(marks.ANCHOR)) in names and mark}
    if named:
        return min(named)
    smallest = min((slot for slot in slots if slot in paired.by_slot), key=_by_number, default=pool.anchor)
    return smallest.name if smallest else None


def _by_number(slot: Slot) -> tuple[int, str]:
    return slot.number, slot.region
