"""List the machines that a run concerns, by their marks, if the server filters.

An older server sends all machines, and the caller filters again in any case. The filter may leave out a machine whose
host is down. Such a machine must not be overlooked: unless the list is known to be whole, all machines are listed.
"""

from collections.abc import Callable, Mapping, Sequence

from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.slots.context import Context


async def list_pool(
    context: Context, app: str, *, stack: str | None, pool: str, with_destroyed: bool = False
) -> Sequence[Machine]:
    """List the machines of the pool; others may be among them. Raises ApiError.

    Without `stack`, list those of the pools of this name in all stacks.
    """
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
    """List the machines with these marks. Raises ApiError.

    Unless `is_whole` of that list, list all machines of the app.
    """
    listed = await context.client.list_machines(app, where=where, with_destroyed=with_destroyed) or ()
    if is_unfiltered(listed, where) or is_whole(listed):
        return listed
    return await context.client.list_machines(app, with_destroyed=with_destroyed) or ()


def is_unfiltered(listed: Sequence[Machine], where: Mapping[str, str]) -> bool:
    """Return whether the server sent machines without the marks, and so all machines."""
    return any(machine.is_observable and not where.items() <= machine.metadata.items() for machine in listed)


def has_all_slots(listed: Sequence[Machine]) -> bool:
    """Return whether the list has as many slots as the pools' anchors count."""
    seen = [one for one in listed if one.is_observable and not one.state.is_gone and _is_owned(one)]
    anchors = [one for one in seen if one.metadata.get(marks.ANCHOR) == one.name]
    if not anchors or any(marks.COUNTS not in anchor.metadata for anchor in anchors):
        return False
    slots = {(one.metadata[marks.STACK], one.name) for one in seen}
    return len(slots) >= sum(sum(marks.parse_counts(anchor.metadata[marks.COUNTS]).values()) for anchor in anchors)


def _is_owned(machine: Machine) -> bool:
    return marks.is_owned(machine.metadata, stack=machine.metadata.get(marks.STACK, ""), name=machine.name)
