"""The guarded update of one machine, as apply and invoke both do it: UPDATE, WAIT, GET, under a lease that is held.

Decides whether the update took. It does not decide whether it should happen.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.errors import ApiError, ReconcilerError
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine
from reconciler.model.revision import Revision
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context
from reconciler.slots.lease import HeldLease
from reconciler.slots.ownership_metadata import metadata_for_update
from reconciler.slots.wait import SETTLE_TIMEOUT_S, read_machine, wait_settled

if TYPE_CHECKING:
    from reconciler.model.plan import Change


class UpdateFailedError(ReconcilerError):
    """The update was refused, or accepted and then reverted."""


async def update_machine(
    context: Context, lease: HeldLease, live: Machine, change: "Change", *, stack: str, revision: Revision | None = None
) -> Machine:
    """The machine after the update, settled, read back with our `applied` on it.

    `live` is the GET under the lease. Raises ApiError, LeaseLostError, UpdateFailedError.
    """
    assert change.desired is not None
    wanted = metadata_for_update(change, live.metadata, stack=stack, revision=revision)
    is_resting = change.kind is PoolKind.TASK and not change.may_launch
    config = change.desired.with_metadata(wanted)
    return await send_config(context, lease, live, config, skip_launch=is_resting, kind=change.kind)


async def send_config(
    context: Context,
    lease: HeldLease,
    live: Machine,
    config: MachineConfig,
    *,
    skip_launch: bool = True,
    kind: PoolKind = PoolKind.TASK,
) -> Machine:
    """The machine once it has settled with this config and exactly its metadata.

    `live` is the GET under the lease. Raises ApiError, LeaseLostError, UpdateFailedError.
    """
    version = await _send_once(context, lease, live, config, skip_launch=skip_launch)
    settled = await wait_settled(context, live, version=version)
    if settled is None:
        raise UpdateFailedError(f"{live.name} did not settle within {SETTLE_TIMEOUT_S:.0f} s of its update")
    if settled.metadata.get(marks.APPLIED) != config.metadata[marks.APPLIED] or _is_reverted(live, settled):
        raise UpdateFailedError(f"{live.name}: the update was {_ending(live, settled)}")
    await _mend_metadata(context, lease, live, settled, config.metadata, kind)
    return settled


async def _send_once(
    context: Context, lease: HeldLease, live: Machine, config: MachineConfig, *, skip_launch: bool
) -> str | None:
    """Sends the update; a lost reply is explained by looking, and only an update that never arrived is sent again.

    The version that it makes; None where the reply tells none.
    """
    for is_last in (False, True):
        nonce = lease.guard()
        try:
            reply = await context.client.update_machine(
                live.app,
                live.id,
                name=live.name,
                region=live.region,
                config=config,
                nonce=nonce,
                current_version=live.instance_id,  # assumption A7
                skip_launch=skip_launch,
            )
            return reply.instance_id if reply.instance_id != live.instance_id else None
        except asyncio.CancelledError:
            lease.doubt()  # it may be under way: the lease expires by itself, so that nobody comes between
            raise
        except ApiError as error:
            if not error.is_unclear:
                raise
            lease.doubt()
            seen = await read_machine(context, live)
            lease.settle()
            if seen.instance_id != live.instance_id:
                return seen.instance_id
            if is_last:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _mend_metadata(
    context: Context, lease: HeldLease, before: Machine, seen: Machine, wanted: Mapping[str, str], kind: PoolKind
) -> None:
    """Writes what the update dropped of the metadata, and removes what it was to drop and did not.

    Not on services, whose check reports a write would reset.
    """
    if kind is PoolKind.SERVICE:
        return
    for key, value in wanted.items():
        if seen.metadata.get(key) != value:
            lease.guard()
            await context.client.set_metadata(seen.app, seen.id, key, value)
    for key in before.metadata.keys() & seen.metadata.keys() - wanted.keys():
        lease.guard()
        await context.client.delete_metadata(seen.app, seen.id, key)


def _is_reverted(before: Machine, seen: Machine) -> bool:
    known = {event.id for event in before.events}
    return any(event.type == "revert" and event.id not in known for event in seen.events)


def _ending(before: Machine, seen: Machine) -> str:
    if _is_reverted(before, seen):
        return "accepted and then reverted by the platform"
    return "accepted, yet it is not there"
