"""A start and a destroy, sent under a lease that is held until it is clear that they have had their effect."""

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model.machine import Machine
from reconciler.slots.context import Context
from reconciler.slots.lease import START_TIMEOUT_S, HeldLease
from reconciler.slots.update import UpdateFailedError
from reconciler.slots.wait import SETTLE_TIMEOUT_S, read_machine


async def send_start(context: Context, lease: HeldLease, machine: Machine) -> None:
    """Starts a service's machine; one that settles still is asked again until it starts, while the lease is ours.

    Raises ApiError, LeaseLostError, and UpdateFailedError where it settles for too long.
    """
    deadline = context.clock.monotonic() + SETTLE_TIMEOUT_S
    while True:
        try:
            await context.client.start_machine(machine.app, machine.id, nonce=lease.guard(START_TIMEOUT_S))
            return
        except ApiError as error:
            if error.kind is not ApiErrorKind.SETTLING:
                raise
            if context.clock.monotonic() >= deadline:
                why = f"could not be started within {SETTLE_TIMEOUT_S:.0f} s: {error.message}"
                raise UpdateFailedError(why) from error
            await context.clock.sleep(1.0)


async def send_destroy(context: Context, lease: HeldLease, live: Machine, *, force: bool) -> None:
    """Sends the destroy; after a lost reply it is sent again only if the machine is seen to live on."""
    for is_last in (False, True):
        try:
            await context.client.delete_machine(live.app, live.id, nonce=lease.guard(), force=force)  # assumption A8
            return
        except ApiError as error:
            if error.kind is ApiErrorKind.NOT_FOUND:
                return
            if not error.is_unclear or is_last:
                raise
        if (await read_machine(context, live)).state.is_gone:
            return
