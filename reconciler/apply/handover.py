"""Hand over what a pool's anchor remembers, before the anchor is destroyed.

The anchor has left the spec. Both leases are held, so no run with a key begins in between, and at each point at most
one machine names itself the anchor. If this ends halfway none does: runs with keys are refused then, until the next
apply has named one.
"""

from typing import Final

from reconciler.apply.keep_ends import find_by_name
from reconciler.apply.locks import Locks
from reconciler.apply.options import Options
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.plan import Change
from reconciler.slots.context import Context
from reconciler.slots.lease import HeldLease
from reconciler.slots.wait import read_machine

_KEYS: Final = (marks.KEY, marks.FINGERPRINTS)


async def hand_over(
    context: Context, lease: HeldLease, leaving: Machine, change: Change, options: Options, locks: Locks
) -> None:
    """Make the successor the anchor, if the machine that leaves is the anchor.

    Raises ApiError, LeaseLostError.
    """
    handover = change.handover
    if handover is None or handover.successor is None or leaving.metadata.get(marks.ANCHOR) != leaving.name:
        return
    successor = await find_by_name(context, leaving, handover.successor)
    if successor is None:
        message = f"{handover.successor} is to be the pool's anchor, and is not there yet; apply again"
        raise ApiError(message, kind=ApiErrorKind.REFUSED)
    async with locks.hold(successor.app, successor.id) as successors_lease:
        live = await read_machine(context, successor)
        revision = str(options.revision) if options.revision else None
        passed_on = {key: value for key, value in leaving.metadata.items() if key.startswith(_KEYS)}
        passed_on[marks.WANT] = marks.Want(handover.digest, revision, handover.image_digest).to_text()
        passed_on[marks.TERMS] = handover.run_policy
        passed_on |= {marks.COUNTS: handover.counts} if handover.counts else {}
        for key in live.metadata.keys() - passed_on.keys():
            if key.startswith(_KEYS):  # from a handing over that was cut off: the anchor has dropped it since
                successors_lease.guard()
                await context.client.delete_metadata(successor.app, successor.id, key)
        for key, value in passed_on.items():
            if live.metadata.get(key) != value:
                successors_lease.guard()
                await context.client.set_metadata(successor.app, successor.id, key, value)
        lease.guard()
        await context.client.set_metadata(leaving.app, leaving.id, marks.ANCHOR, successor.name)
        successors_lease.guard()
        await context.client.set_metadata(successor.app, successor.id, marks.ANCHOR, successor.name)
