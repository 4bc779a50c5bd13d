"""Destroy one machine: keep what its pool remembers, then see that it is gone."""

from typing import Final

from reconciler.apply.announcements import defer
from reconciler.apply.job import Job
from reconciler.apply.judge import (
    entry,
    fenced,
    no_clone,
    unreachable,
    unsettled,
)
from reconciler.apply.notes import pass_on
from reconciler.apply.pool_memory import hand_over, keep_ends
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model import marks
from reconciler.model.change import Change
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine, MachineState
from reconciler.model.report import Entry, Status
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context
from reconciler.slots.lease import HeldLease
from reconciler.slots.wait import read_machine, wait_until

_GONE_TIMEOUT_S: Final = 60.0


async def destroy(job: Job, change: Change) -> Entry:
    """Destroy the change's machine, and return how that ended."""
    try:
        ended, _machine = await take_away(job, change, frees_name=bool(change.clone))  # a slot may be to have it
    except ApiError as error:
        if error.kind is not ApiErrorKind.NOT_FOUND or await job.context.client.apps.get(change.slot.app):
            raise
        return entry(change, Status.DONE, "was gone already, with its app")
    return ended


async def take_away(job: Job, change: Change, *, frees_name: bool = False) -> tuple[Entry, Machine]:
    """Destroy the machine; return how that ended, and the machine under the lease.

    A machine that is being destroyed counts as gone; its name is free only once it is destroyed, and `frees_name` waits
    for that.
    """
    try:
        return await _take_away_leased(job, change, frees_name=frees_name)
    except ApiError as error:
        live = await read_machine(job.context, change.machine) if error.kind is ApiErrorKind.NOT_FOUND else None
        if live is None or not live.state.is_gone:
            raise
    return await _was_gone(job, change, live)


async def _was_gone(job: Job, change: Change, live: Machine) -> tuple[Entry, Machine]:
    """Return the end of a change whose machine someone else destroyed.

    How its runs ended can be read for a while.
    """
    return entry(change, Status.DONE, "was gone already"), await keep_ends(job.context, live, change, job.locks)


async def _take_away_leased(job: Job, change: Change, *, frees_name: bool) -> tuple[Entry, Machine]:
    async with job.lease(change) as lease:
        live = await job.settled(change)
        if live.state.is_gone:
            return await _was_gone(job, change, live)
        if found := unreachable(live, change):
            return found, live
        if change.clone and (found := no_clone(live, change, job.stack)):
            return found, live
        is_forced = not change.clone and (job.options.force or kind_of(live, declared=change.kind) is PoolKind.SERVICE)
        if not is_forced and (found := unsettled(live, change, job.patience)):
            return found, live
        if not is_forced and not live.state.is_resting:
            return await defer(job, lease, live, change), live
        if (live.metadata.get(marks.STACK), live.metadata.get(marks.SLOT)) != (job.stack, change.slot.name):
            return entry(change, Status.FAILED, "no longer carries this stack's marks; left alone"), live
        if not change.clone and (found := fenced(live, change, job.options)):  # a clone's revision is its original's
            return found, live
        if found := await job.changed_back(live, change):
            return found, live
        if unnoted := await pass_on(job, live, change):
            return entry(change, Status.FAILED, unnoted.detail, reason=unnoted.reason), live
        await hand_over(job.context, lease, live, change, job.options, job.locks)
        live = await keep_ends(job.context, live, change, job.locks)
        if change.is_untold:
            await _tell_end(job, lease, live, change)
        try:
            await send_destroy(job.context, lease, live, force=is_forced)
        except ApiError as error:
            if error.kind is ApiErrorKind.STILL_RUNNING:
                return await defer(job, lease, live, change), live
            raise
        lease.doubt()  # nobody can write to it any more, and a release would find no machine
        gone = await wait_until(
            job.context,
            live,
            lambda seen: seen.state.is_gone,
            states=(MachineState.DESTROYED,),
            timeout_s=_GONE_TIMEOUT_S,
            version=live.version if frees_name else None,
        )
    if gone is None:
        return entry(change, Status.UNKNOWN, f"not gone after {_GONE_TIMEOUT_S:.0f} s"), live
    return entry(change, Status.DONE), live


async def _tell_end(job: Job, lease: HeldLease, live: Machine, change: Change) -> None:
    """Mark the machine as destroyed by this tool.

    Without the mark, `drift` would report that someone else destroyed it.
    """
    if marks.GONE in live.metadata:
        return
    lease.guard()
    try:
        await job.context.client.set_metadata(live.app, live.id, marks.GONE, job.options.verb)
    except ApiError as error:
        job.context.emit(f"{change.address}: cannot mark it as destroyed by this tool: {error.message}")


async def send_destroy(context: Context, lease: HeldLease, live: Machine, *, force: bool) -> None:
    """Send the destroy; after a lost reply again only if the machine is still there."""
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
