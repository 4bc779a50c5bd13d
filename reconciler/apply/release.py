"""Release one machine: take our marks off, under its lease. Nothing is restarted.

Metadata makes no new version (assumption A19). The mark `stack` goes first: without it the machine is nobody's. What a
release that was cut off has left on it, the next one takes off. The marks that tell its slot go last, so that it is
found.
"""

from collections.abc import Mapping
from typing import Final

from reconciler.apply.job import Job
from reconciler.apply.judge import busy, entry, has_moved, is_busy, moved
from reconciler.apply.metadata import write_marks
from reconciler.apply.watching import see_checks_pass
from reconciler.model import marks
from reconciler.model.change import Change
from reconciler.model.machine import Machine
from reconciler.model.report import Entry, Status
from reconciler.slots.lease import HeldLease
from reconciler.slots.override import restore
from reconciler.slots.wait import read_machine

_LAST: Final = (marks.POOL, marks.SLOT)


async def release(job: Job, change: Change) -> Entry:
    """Take our marks off the change's machine. Raises ApiError, UpdateFailedError.

    A service with health checks is watched until they pass again: to write metadata resets their
    reports (A18).
    """
    async with job.lease(change) as lease:
        live = await job.settled(change)
        if found := _objection(job, change, live):
            return found
        for write in change.writes:
            if why := await write_marks(job.context, write, job.options, job.locks):
                return entry(change, Status.FAILED, f"the stack's revision could not be kept: {why}")
        if marks.OVERRIDE in live.metadata and live.state.is_resting:
            live = await restore(job.context, lease, live)
        await _take_off(job, lease, live)
        after = await read_machine(job.context, live)
        if left := _ours(after.metadata):
            return entry(change, Status.FAILED, f"still carries {', '.join(left)}; run it again")
    done = entry(change, Status.DONE, machine=after)
    return await see_checks_pass(job.context, change, done, live, after, job.course)


def _objection(job: Job, change: Change, live: Machine) -> Entry | None:
    """Return why the machine is not released, or that it was already."""
    if found := job.objection(live, change):
        return found
    if not _ours(live.metadata):
        return entry(change, Status.DONE, "was released already", machine=live)
    if is_busy(live, change):
        return busy(change, live)
    owner = live.metadata.get(marks.STACK)
    if owner is not None and not marks.is_owned(live.metadata, stack=job.stack, name=live.name):
        return entry(change, Status.FAILED, "no longer carries this stack's marks; left alone")
    return moved(live, change) if has_moved(live, change) else None


async def _take_off(job: Job, lease: HeldLease, live: Machine) -> None:
    for key in _ours(live.metadata):
        lease.guard()
        await job.context.client.delete_metadata(live.app, live.id, key)


def _ours(metadata: Mapping[str, str]) -> list[str]:
    """Return our marks in the order in which they are taken off."""
    found = [key for key in metadata if marks.is_mark(key)]
    return sorted(found, key=lambda key: (key != marks.STACK, key in _LAST, key))
