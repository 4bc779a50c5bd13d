"""Adopt one machine that is as declared: write our marks on it, under its lease.

No config is sent, so there is no new version and nothing restarts, also while it runs (assumption A19). The mark
`stack` goes last: without it the machine is nobody's, whatever else it carries. An adoption that was cut off is made
good by the next one; the marks that tell the machine's slot go first, so that a release finds it too.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from reconciler.apply.job import Job
from reconciler.apply.judge import (
    entry,
    has_other_config,
    has_other_owner,
    is_as_desired,
    may_rest,
    moved,
    overtaken,
)
from reconciler.apply.metadata import send_marks
from reconciler.apply.start import send_start
from reconciler.apply.watching import see_checks_pass, see_up
from reconciler.errors import ApiError
from reconciler.model import marks
from reconciler.model.change import Change
from reconciler.model.machine import Machine
from reconciler.model.report import Entry, Status
from reconciler.model.spec import PoolKind
from reconciler.slots.lease import HeldLease
from reconciler.slots.ownership_metadata import metadata_for_update
from reconciler.slots.wait import read_machine

_FIRST: Final = (marks.SLOT, marks.POOL)  # a release finds a machine by its slot
_ROUNDS: Final = 2


async def adopt(job: Job, change: Change) -> Entry:
    """Write our marks on the change's machine. Raises ApiError, UpdateFailedError.

    A service that rests and should be running is started. One with health checks is watched until they pass again: to
    write metadata resets their reports (A18).
    """
    async with job.lease(change) as lease:
        live = await job.settled(change)
        if found := _objection(job, change, live) or await job.changed_back(live, change):
            return found
        after = await _marked(job, lease, live, change)
        if found := has_other_owner(after, change, job.stack):
            return found
        if lacking := _due(_wanted(job, change, after), after):
            return entry(change, Status.FAILED, f"does not show {', '.join(lacking)}; run it again")
        is_starting = _must_start(change, after)
        if is_starting:
            await send_start(job.context, lease, after)
    done = entry(change, Status.DONE, machine=after)
    if is_starting:
        return await see_up(job.context, change, done, after, job.course, fence=after.newest_event, is_starting=True)
    return await see_checks_pass(job.context, change, done, live, after, job.course)


def _objection(job: Job, change: Change, live: Machine) -> Entry | None:
    """Return why the machine is not adopted, or that it was already."""
    if found := job.objection(live, change) or has_other_owner(live, change, job.stack):
        return found
    if marks.STACK in live.metadata:
        if is_as_desired(live, change):
            return entry(change, Status.DONE, "another apply had done it", machine=live)
        return overtaken(change, "another apply has taken it over since it was planned")
    return moved(live, change) if has_other_config(live, change) else None


async def _marked(job: Job, lease: HeldLease, live: Machine, change: Change) -> Machine:
    """Write what the machine lacks, and return it as a GET shows it.

    What was lost on the way is written once more, but not over another stack's marks: no lease stops who writes them.
    """
    seen = live
    for _ in range(_ROUNDS):
        due = _due(_wanted(job, change, seen), seen)
        if not due:
            break
        try:
            await send_marks(job.context, lease, live.ref, {key: due[key] for key in sorted(due, key=_place)})
        except (ApiError, asyncio.CancelledError) as error:
            if not isinstance(error, ApiError) or error.is_unclear:
                lease.doubt()  # nobody else may write before a mark that arrives late
            raise
        seen = await read_machine(job.context, live)
        if has_other_owner(seen, change, job.stack):
            break
    return seen


def _wanted(job: Job, change: Change, live: Machine) -> dict[str, str]:
    assert change.desired is not None
    noted = job.noted(change, live.metadata)
    return metadata_for_update(
        change.desired, live.metadata, stack=job.stack, revision=job.options.revision, noted=noted
    )


def _due(wanted: Mapping[str, str], live: Machine) -> dict[str, str]:
    """Return our marks that the machine lacks; an empty value takes one away.

    Keys of others are as declared, and are not written.
    """
    stale = {key: "" for key in live.metadata if marks.is_mark(key) and key not in wanted}
    lacking = {key: value for key, value in wanted.items() if marks.is_mark(key) and live.metadata.get(key) != value}
    return stale | lacking


def _place(key: str) -> tuple[bool, int, str]:
    """Return what the keys are sorted by that are written."""
    first = _FIRST.index(key) if key in _FIRST else len(_FIRST)
    return key == marks.STACK, first, key


def _must_start(change: Change, machine: Machine) -> bool:
    """Return whether a service's machine rests that should be running."""
    is_wanted = change.is_started or not may_rest(change)
    return change.kind is PoolKind.SERVICE and machine.state.is_resting and is_wanted
