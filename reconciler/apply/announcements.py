"""Tell a pool's anchor what the pool should be, before others of it are changed.

Mostly the anchor's own update carries that. If it cannot, as while a run is in progress on it, the mark `want` is
written on it under its lease. If that fails, nothing else of the pool is changed: every later invoke would bring the
changed machines back to what the anchor still names.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from reconciler.apply.job import Job, Locks
from reconciler.apply.judge import (
    Obstacle,
    busy,
    must_be_told,
    objection_to_marks,
)
from reconciler.apply.options import Options
from reconciler.apply.priority_semaphore import PrioritySemaphore
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model import marks
from reconciler.model.change import Change
from reconciler.model.machine import Machine
from reconciler.model.plan import Announcement, Plan
from reconciler.model.report import Entry, Reason
from reconciler.slots.context import Context
from reconciler.slots.lease import HeldLease
from reconciler.slots.wait import read_by_id


class Announcements:
    """The announcements of a plan, under way from the start."""

    def __init__(self, context: Context, plan: Plan, options: Options, locks: Locks, limit: PrioritySemaphore) -> None:
        self._context = context
        self._stack = plan.stack
        self._options = options
        self._locks = locks
        self._limit = limit
        pools = {(change.slot.app, change.slot.pool) for change in plan.effective}
        needed = [one for one in plan.announcements if (one.app, one.pool) in pools]
        self.tasks: dict[tuple[str, str], asyncio.Task[Obstacle | None]] = {
            (one.app, one.pool): asyncio.create_task(self._announce(one)) for one in needed
        }

    async def obstacle(self, change: Change) -> Obstacle | None:
        """Return why the change's pool may not be changed; None if it may.

        Waits until that is known. A clone is no machine of the pool.
        """
        task = None if change.clone else self.tasks.get((change.slot.app, change.slot.pool))
        if task is None:
            return None
        await asyncio.wait({task})
        return task.result()

    async def _announce(self, needed: Announcement) -> Obstacle | None:
        what = f"{needed.anchor}, the anchor of its pool, could not be told what the pool should be"
        if needed.machine_id is None:
            return Obstacle(f"{what}: it is {needed.doubt}")
        try:
            async with self._limit, self._locks.hold(needed.app, needed.machine_id) as lease:
                live = await read_by_id(self._context, needed.app, needed.machine_id)
                if live is None or live.state.is_gone:
                    return _gone(what)
                if objection := objection_to_marks(live, self._stack, self._options):
                    return objection.about(what)
                await write_want(self._context, lease, live, needed.desired_digest, needed.image_digest, self._options)
        except Exception as error:
            if isinstance(error, ApiError) and error.kind is ApiErrorKind.NOT_FOUND:
                return _gone(what)
            is_held = isinstance(error, ApiError) and error.kind is ApiErrorKind.LEASE_HELD
            return Obstacle(f"{what}: {self._context.explain(error)}", Reason.LOCK if is_held else None)
        return None


def _gone(what: str) -> Obstacle:
    return Obstacle(f"{what}: it is gone", Reason.OVERTAKEN)


@asynccontextmanager
async def announcing(
    context: Context, plan: Plan, options: Options, locks: Locks, limit: PrioritySemaphore
) -> AsyncIterator[Announcements]:
    """Announce during the block; what is under way at its end is given up."""
    announcements = Announcements(context, plan, options, locks, limit)
    try:
        yield announcements
    finally:
        for task in announcements.tasks.values():
            task.cancel()
        await asyncio.gather(*announcements.tasks.values(), return_exceptions=True)


async def write_want(
    context: Context, lease: HeldLease, anchor: Machine, digest: str, image_digest: str | None, options: Options
) -> None:
    """Write the mark `want` on the anchor, under a lease that is held.

    Raises ApiError, LeaseLostError.
    """
    revision = str(options.revision) if options.revision else None
    want = marks.Want(digest, revision, image_digest).to_text()
    if anchor.metadata.get(marks.WANT) != want:
        lease.guard()
        await context.client.set_metadata(anchor.app, anchor.id, marks.WANT, want)


async def defer(job: Job, lease: HeldLease, live: Machine, change: Change) -> Entry:
    """Defer the change until the run has ended.

    An anchor is told what its pool should be before others of the pool are changed.
    """
    if must_be_told(change):
        assert change.desired is not None
        desired = change.desired
        await write_want(job.context, lease, live, desired.digest, desired.image_digest, job.options)
    return busy(change, live)
