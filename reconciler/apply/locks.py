"""Take the leases of one apply, and wait for other holders (`--lock-timeout`).

Once a machine was waited for in vain, whatever else was to be done there fails at once.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.slots.context import Context
from reconciler.slots.lease import APPLY_TTL_S, HeldLease, hold_lease


class Locks:
    """Takes leases under the name of `verb`, which others see as the holder's."""

    def __init__(self, context: Context, *, timeout_s: float, verb: str) -> None:
        self._context = context
        self._timeout_s = timeout_s
        self._verb = verb
        self._waited_in_vain: set[str] = set()

    def patience_s(self, machine_id: str) -> float:
        """Return how long someone else's lease on it may still be waited for."""
        return 0.0 if machine_id in self._waited_in_vain else self._timeout_s

    @asynccontextmanager
    async def hold(self, app: str, machine_id: str) -> AsyncIterator[HeldLease]:
        """Hold a lease on the machine for the block.

        Raises ApiError; LEASE_HELD if it was not free in time.
        """
        patience_s = self.patience_s(machine_id)
        holding = hold_lease(self._context, app, machine_id, verb=self._verb, ttl_s=APPLY_TTL_S, patience_s=patience_s)
        async with AsyncExitStack() as stack:
            try:
                lease = await stack.enter_async_context(holding)
            except ApiError as error:
                if error.kind is ApiErrorKind.LEASE_HELD:
                    self._waited_in_vain.add(machine_id)
                raise
            yield lease
