"""What every change needs: its surroundings, and its machine under a lease."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from reconciler.apply.judge import fenced, unfit, unsettled
from reconciler.apply.locks import Locks
from reconciler.apply.options import Options, Patience
from reconciler.apply.watching import Course
from reconciler.model.machine import Machine
from reconciler.model.plan import Change
from reconciler.model.report import Entry
from reconciler.slots.context import Context
from reconciler.slots.lease import HeldLease
from reconciler.slots.wait import read_machine, wait_settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
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

    async def settled(self, change: Change) -> Machine:
        """Return the change's machine under its lease, once it has settled.

        If that takes too long, return it as it is.
        """
        live = await read_machine(self.context, change.machine)
        left_s = self.patience.until - self.context.clock.monotonic()
        if live.state.is_settling and left_s > 0:
            live = await wait_settled(self.context, live, timeout_s=left_s) or live
        return live

    def objection(self, live: Machine, change: Change) -> Entry | None:
        """Return why the machine, seen under its lease, must not be changed now."""
        return unfit(live, change) or unsettled(live, change, self.patience) or fenced(live, change, self.options)
