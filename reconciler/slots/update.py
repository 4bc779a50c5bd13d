"""The guarded update of one machine, as apply and invoke both do it: UPDATE, WAIT, GET, under a lease that is held.

Decides whether the update took. It does not decide whether it should happen.
"""

from reconciler.errors import ApiError, ReconcilerError
from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.plan import Change
from reconciler.model.revision import Revision
from reconciler.model.spec import PoolKind
from reconciler.slots.actor import Actor
from reconciler.slots.confirm import SETTLE_TIMEOUT_S, read_machine, wait_settled
from reconciler.slots.lease import HeldLease
from reconciler.slots.stamps import metadata_for_update


class UpdateFailedError(ReconcilerError):
    """The update was refused, or accepted and then reverted."""


async def update_machine(
    actor: Actor, lease: HeldLease, live: Machine, change: Change, *, stack: str, revision: Revision | None = None
) -> Machine:
    """The machine after the update, settled, read back with our `applied` on it.

    `live` is the GET under the lease. Raises ApiError, LeaseLostError, UpdateFailedError.
    """
    assert change.desired is not None
    wanted = metadata_for_update(change, live.metadata, stack=stack, revision=revision)
    await _send_once(actor, lease, live, change, wanted)
    settled = await wait_settled(actor, live)
    if settled is None:
        raise UpdateFailedError(f"{live.name} did not settle within {SETTLE_TIMEOUT_S:.0f} s of its update")
    if settled.metadata.get(marks.APPLIED) != wanted[marks.APPLIED]:
        raise UpdateFailedError(f"{live.name}: the update was {_ending(settled)}")
    await _mend_metadata(actor, lease, live, settled, wanted, change.kind)
    return settled


async def _send_once(actor: Actor, lease: HeldLease, live: Machine, change: Change, wanted: dict[str, str]) -> None:
    """Sends the update; a lost reply is explained by looking, and only an update that never arrived is sent again."""
    assert change.desired is not None
    for is_last in (False, True):
        nonce = lease.guard()
        try:
            await actor.client.update_machine(
                live.app,
                live.id,
                name=live.name,
                region=live.region,
                config=change.desired.with_metadata(wanted),
                nonce=nonce,
                current_version=live.instance_id,
                skip_launch=change.kind is PoolKind.TASK and change.desired.schedule is None,
            )
            return
        except ApiError as error:
            if not error.is_unclear:
                raise
            lease.doubt()
            seen = await read_machine(actor, live)
            lease.settle()
            if seen.instance_id != live.instance_id:
                return
            if is_last:
                raise


async def _mend_metadata(
    actor: Actor, lease: HeldLease, before: Machine, seen: Machine, wanted: dict[str, str], kind: PoolKind
) -> None:
    """Writes what the update dropped of the metadata, and removes what it was to drop and did not.

    Not on services, whose check reports a write would reset.
    """
    if kind is PoolKind.SERVICE:
        return
    for key, value in wanted.items():
        if seen.metadata.get(key) != value:
            lease.guard()
            await actor.client.set_metadata(seen.app, seen.id, key, value)
    for key in before.metadata.keys() & seen.metadata.keys() - wanted.keys():
        lease.guard()
        await actor.client.delete_metadata(seen.app, seen.id, key)


def _ending(machine: Machine) -> str:
    reverted = any(event.type == "revert" for event in machine.events[:3])
    return "accepted and then reverted by the platform" if reverted else "accepted, yet it is not there"
