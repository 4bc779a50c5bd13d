"""Start a service's machine under a lease that is held."""

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model.machine import Machine
from reconciler.slots.context import Context
from reconciler.slots.lease import START_TIMEOUT_S, HeldLease
from reconciler.slots.update_error import UpdateFailedError
from reconciler.slots.wait import SETTLE_TIMEOUT_S


async def send_start(context: Context, lease: HeldLease, machine: Machine) -> None:
    """Start a service's machine; while it settles, try again under the lease.

    Raises ApiError, LeaseLostError, and UpdateFailedError if it settles for too long.
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
