"""Update one machine under its lease: UPDATE, WAIT, GET.

Apply and invoke share this. It decides whether the update succeeded, not whether it should be made
(docs/explanation/protocols.md, section 2).
"""

import asyncio
from collections.abc import Mapping
from itertools import takewhile
from typing import TYPE_CHECKING

from reconciler.errors import ApiError
from reconciler.machines_api.more_events import events_back_to
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine
from reconciler.model.revision import Revision
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context
from reconciler.slots.lease import HeldLease
from reconciler.slots.ownership_metadata import metadata_for_update
from reconciler.slots.pushed_images import sent_until_known
from reconciler.slots.update_error import UpdateFailedError
from reconciler.slots.wait import SETTLE_TIMEOUT_S, read_machine, wait_settled

if TYPE_CHECKING:
    from reconciler.model.desired import DesiredMachine


async def update_machine(
    context: Context,
    lease: HeldLease,
    live: Machine,
    desired: "DesiredMachine",
    *,
    stack: str,
    revision: Revision | None = None,
    noted: Mapping[str, str] | None = None,
) -> Machine:
    """Update the machine. Return it once it has settled and shows our `applied`.

    `live` is the GET under the lease. Raises ApiError, LeaseLostError, UpdateFailedError.
    """
    wanted = metadata_for_update(desired, live.metadata, stack=stack, revision=revision, noted=noted)
    is_resting = desired.kind is PoolKind.TASK and not desired.is_scheduled
    config = desired.config.with_metadata(wanted)
    return await send_config(context, lease, live, config, skip_launch=is_resting, kind=desired.kind)


async def send_config(
    context: Context,
    lease: HeldLease,
    live: Machine,
    config: MachineConfig,
    *,
    skip_launch: bool = True,
    kind: PoolKind = PoolKind.TASK,
) -> Machine:
    """Send the config.

    Return the machine once it has settled with it and its metadata. `live` is the GET under the lease. Raises ApiError,
    LeaseLostError, UpdateFailedError.
    """
    version = await _send_once(context, lease, live, config, skip_launch=skip_launch)
    settled = await wait_settled(context, live, version=version)
    if settled is None:
        raise UpdateFailedError(f"{live.name} did not settle within {SETTLE_TIMEOUT_S:.0f} s of its update")
    is_reverted = await _is_reverted(context, live, settled)
    if settled.metadata.get(marks.APPLIED) != config.metadata[marks.APPLIED] or is_reverted:
        why = (
            "accepted and then reverted by the platform"
            if is_reverted
            else "accepted, but the machine does not show it"
        )
        raise UpdateFailedError(f"{live.name}: the update was {why}")
    await _mend_metadata(context, lease, live, settled, config.metadata, kind)
    return settled


async def _send_once(
    context: Context, lease: HeldLease, live: Machine, config: MachineConfig, *, skip_launch: bool
) -> str | None:
    """Send the update.

    Return the version that it makes; None if the reply names none. After a lost reply the machine is read, and the
    update is sent again only if it never arrived. A machine without a reported version is not updated: another update
    could not be noticed.
    """
    if not live.version:
        raise UpdateFailedError(f"{live.name}: the platform reports no version of the machine, so it is not changed")

    async def send() -> Machine:
        try:
            return await context.client.update_machine(
                live.app,
                live.id,
                name=live.name,
                region=live.region,
                config=config,
                nonce=lease.guard(),
                current_version=live.version,  # assumption A7
                skip_launch=skip_launch,
            )
        except asyncio.CancelledError:
            lease.doubt()  # the update may be under way: leave the lease to expire, so that nobody else writes
            raise

    for is_last in (False, True):
        try:
            reply = await sent_until_known(context, config.image, send)
            return reply.version if reply.version != live.version else None
        except ApiError as error:
            if not error.is_unclear:
                raise
            lease.doubt()
            seen = await read_machine(context, live)
            lease.settle()
            if seen.version != live.version:
                return seen.version
            if is_last:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _mend_metadata(
    context: Context, lease: HeldLease, before: Machine, seen: Machine, wanted: Mapping[str, str], kind: PoolKind
) -> None:
    """Write metadata that the update lost, and delete what it should have dropped.

    Not on services: a metadata write resets their check reports.
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


async def _is_reverted(context: Context, before: Machine, seen: Machine) -> bool:
    """Return whether an event since then says that the platform took an update back."""
    known = {event.id for event in before.events}
    events = await events_back_to(context.client, seen, before.newest_event)
    newer = takewhile(lambda event: event.id not in known, events)
    return any(event.type == "revert" for event in newer)
