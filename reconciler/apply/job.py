"""What every change needs: the leases, its machine, and the options of the apply.

If someone else has the lease, the change waits (`--lock-timeout`). After one wait for a machine was in vain, all later
changes of that machine fail at once.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from msgspec import Struct

from reconciler.apply.judge import entry, fenced, unfit, unsettled
from reconciler.apply.options import Options, Patience
from reconciler.apply.watching import Course
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model.change import Change
from reconciler.model.machine import Machine
from reconciler.model.report import Entry, Status
from reconciler.slots.context import Context
from reconciler.slots.lease import APPLY_TTL_S, HeldLease, hold_lease
from reconciler.slots.versions import was_changed_back
from reconciler.slots.wait import read_machine, wait_settled


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


class Job(Struct, frozen=True, kw_only=True):
    """One change's surroundings.

    `patience` is that with a machine that settles, for all reads of it together.
    """

    context: Context
    stack: str
    options: Options
    locks: Locks
    course: Course
    patience: Patience

    def lease(self, change: Change) -> AbstractAsyncContextManager[HeldLease]:
        """Hold the lease on the change's machine for a block. Raises ApiError."""
        assert change.machine_id is not None
        return self.locks.hold(change.slot.app, change.machine_id)

    def noted(self, change: Change, before: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return the notes that go with the change's config; None without any."""
        notes = self.options.notes
        return notes.marks_for(change.address, before) if notes else None

    async def settled(self, change: Change) -> Machine:
        """Return the change's machine under its lease, once it has settled.

        If that takes too long, return it as it is.
        """
        live = await read_machine(self.context, change.machine)
        left_s = self.patience.until - self.context.clock.monotonic()
        if live.state.is_settling and left_s > 0:
            live = await wait_settled(self.context, live, timeout_s=left_s) or live
        return live

    async def changed_back(self, live: Machine, change: Change) -> Entry | None:
        """Return why the machine is not the reviewed one although its config is the same.

        Only a saved plan has the versions that were reviewed; without one this returns None.
        """
        reviewed = self.options.reviewed_versions.get(live.id)
        if reviewed is None:
            return None
        plan = self.options.notes.plan if self.options.notes else None
        why = await was_changed_back(self.context, live.ref, reviewed=reviewed, live=live.version, plan=plan)
        return entry(change, Status.FAILED, f"{why}; plan again") if why else None

    def objection(self, live: Machine, change: Change) -> Entry | None:
        """Return why the machine, seen under its lease, must not be changed now."""
        return unfit(live, change) or unsettled(live, change, self.patience) or fenced(live, change, self.options)
