"""List only the machines that a run concerns, by their marks, where the server filters.

An older server sends all machines, and the caller filters again in any case. A machine whose host is down may be left
out by the filter, and must not be overlooked: unless the list is seen to be whole, everything is listed.
"""

from collections.abc import Callable, Mapping, Sequence

from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.slots.context import Context


async def list_pool(
    context: Context, app: str, *, stack: str | None, pool: str, with_destroyed: bool = False
) -> Sequence[Machine]:
    """List the machines of the pool, of any stack without `stack`; others may be among them. Raises ApiError."""
    where = {marks.POOL: pool} | ({marks.STACK: stack} if stack else {})
    return await list_marked(context, app, where, is_whole=has_all_slots, with_destroyed=with_destroyed)


async def list_marked(
    context: Context,
    app: str,
    where: Mapping[str, str],
    *,
    is_whole: Callable[[Sequence[Machine]], bool],
    with_destroyed: bool = False,
) -> Sequence[Machine]:
    """List the machines with these marks; everything unless `is_whole` of them. Raises ApiError."""
    listed = await context.client.list_machines(app, where=where, with_destroyed=with_destroyed) or ()
    if is_unfiltered(listed, where) or is_whole(listed):
        return listed
    return await context.client.list_machines(app, with_destroyed=with_destroyed) or ()


def is_unfiltered(listed: Sequence[Machine], where: Mapping[str, str]) -> bool:
    """Return whether the server sent machines that were not asked for, and so all of them."""
    return any(machine.is_observable and not where.items() <= machine.metadata.items() for machine in listed)


def has_all_slots(listed: Sequence[Machine]) -> bool:
    """Return whether as many slots can be observed as the pools' anchors say that there are machines."""
    seen = [one for one in listed if one.is_observable and not one.state.is_gone and _is_owned(one)]
    anchors = [one for one in seen if one.metadata.get(marks.ANCHOR) == one.name]
    if not anchors or any(marks.COUNTS not in anchor.metadata for anchor in anchors):
        return False
    slots = {(one.metadata[marks.STACK], one.name) for one in seen}
    return len(slots) >= sum(sum(marks.parse_counts(anchor.metadata[marks.COUNTS]).values()) for anchor in anchors)


def _is_owned(machine: Machine) -> bool:
    return marks.is_owned(machine.metadata, stack=machine.metadata.get(marks.STACK, ""), name=machine.name)
