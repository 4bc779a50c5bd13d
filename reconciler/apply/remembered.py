"""Read what a destroyed anchor remembered, if none came after it.

It was destroyed by hand, or by a replace that was cut off. The platform tells of destroyed machines for about two days.
"""

from typing import Final

from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.plan import Change
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context

_MEMORY: Final = (marks.KEY, marks.FINGERPRINTS, marks.ENDS)


async def read_memory(context: Context, change: Change, stack: str) -> dict[str, str] | None:
    """Return the marks that the slot's new machine takes over. Raises ApiError.

    None for a slot that is no anchor.
    """
    is_anchor = change.kind is PoolKind.TASK and change.anchor == change.slot.name
    if not is_anchor or context.client.new_apps.is_new(change.slot.app):
        return None
    listed = await context.client.list_machines(change.slot.app, with_destroyed=True) or ()
    before = [machine for machine in listed if _was_anchor(machine, change, stack)]
    newest = max(before, key=lambda one: one.events[0].timestamp_ms if one.events else 0, default=None)
    return {key: value for key, value in newest.metadata.items() if key.startswith(_MEMORY)} if newest else None


def _was_anchor(machine: Machine, change: Change, stack: str) -> bool:
    owner = {marks.STACK: stack, marks.POOL: change.slot.pool, marks.ANCHOR: change.slot.name}
    return machine.state.is_gone and machine.name == change.slot.name and owner.items() <= machine.metadata.items()
