"""Make one change: a short coroutine for each action on one slot.

Each ends in an Entry, whatever the platform does. Nothing is decided here but whether what was planned still holds
under the lease: the machine is at rest, and is the one that was planned for.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from reconciler.apply.adopt import adopt
from reconciler.apply.announcements import defer
from reconciler.apply.create import create, without_volume
from reconciler.apply.destroy import destroy, take_away
from reconciler.apply.job import Job, Locks
from reconciler.apply.judge import (
    ON_ONE_MACHINE,
    busy,
    entry,
    has_moved,
    has_other_owner,
    is_as_desired,
    is_busy,
    moved,
    must_be_told,
    must_run,
    taken_name,
    unfit,
    was_overtaken,
    words_of,
)
from reconciler.apply.metadata import change_settings
from reconciler.apply.options import Options
from reconciler.apply.pool_memory import read_memory
from reconciler.apply.release import release
from reconciler.apply.start import send_start
from reconciler.apply.watching import Course, before_its_run, see_still_up, see_up
from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError
from reconciler.model.change import Action, Change
from reconciler.model.machine import Machine
from reconciler.model.report import Entry, Reason, Status
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context
from reconciler.slots.lease import HeldLease
from reconciler.slots.update import update_machine
from reconciler.slots.update_error import UpdateFailedError
from reconciler.slots.wait import read_machine, stop_and_wait

_ROUNDS: Final = 4
_ROUND_S: Final = 1.0
_STOP_TIMEOUT_S: Final = 300.0  # the platform kills at the latest then


async def perform(
    context: Context,
    change: Change,
    stack: str,
    options: Options,
    locks: Locks | None = None,
    *,
    course: Course | None = None,
) -> Entry:
    """Make the change and return how it ended; errors of the API become an entry.

    If someone else's change came in between, or took the lease away, the machine is read and judged again.
    """
    locks = locks or Locks(context, timeout_s=options.lock_timeout_s, verb=options.verb)
    job = Job(
        context=context,
        stack=stack,
        options=options,
        locks=locks,
        course=course or Course(),
        patience=options.patience_from(context.clock.monotonic()),
    )
    for left in reversed(range(_ROUNDS)):
        try:
            return await _perform(job, change)
        except LeaseLostError as error:
            return entry(change, Status.UNKNOWN, f"{error.message}; plan again")
        except ApiError as error:
            if not left or not _is_worth_another_look(job, change, error):
                return await _failed(job, change, error)
        except UpdateFailedError as error:
            return entry(change, Status.FAILED, error.message)
        await context.clock.sleep(_ROUND_S)
    raise AssertionError("unreachable: the last round returns")


def _is_worth_another_look(job: Job, change: Change, error: ApiError) -> bool:
    if error.kind is ApiErrorKind.LEASE_HELD:
        return bool(change.machine_id and job.locks.patience_s(change.machine_id))
    return was_overtaken(change, error)


async def _failed(job: Job, change: Change, error: ApiError) -> Entry:
    if error.kind is ApiErrorKind.LEASE_HELD:
        return await _locked(job, change, error)
    if error.kind is ApiErrorKind.VOLUME_BUSY and change.mounted:
        return await without_volume(job.context, change, error, stack=job.stack)
    if error.kind is ApiErrorKind.NOT_FOUND and change.action in ON_ONE_MACHINE:
        with suppress(ApiError):
            if found := unfit(await read_machine(job.context, change.machine), change):
                return found
    return entry(change, Status.UNKNOWN if error.is_unclear else Status.FAILED, words_of(error))


async def _locked(job: Job, change: Change, error: ApiError) -> Entry:
    """Return the end of a change whose machine someone else held for too long.

    A claim may have become a run meanwhile. For an anchor this is no success even if it runs: what its pool should be
    can be written only under its lease. Neither is it for an adoption that no run is in the way of.
    """
    if change.kind is PoolKind.TASK and not (must_be_told(change) or change.is_marks_only):
        with suppress(ApiError):
            live = await read_machine(job.context, change.machine)
            if not (live.state.is_resting or live.state.is_settling or live.state.is_gone):
                return busy(change, live)
    return entry(change, Status.FAILED, error.message, reason=Reason.LOCK)


async def _perform(job: Job, change: Change) -> Entry:
    match change.action:
        case Action.CREATE:
            return await _create(job, change)
        case Action.ADOPT if change.is_marks_only:
            return await adopt(job, change)
        case Action.UPDATE | Action.ADOPT:
            return await _update(job, change)
        case Action.DESTROY:
            return await destroy(job, change)
        case Action.REPLACE:
            return await _replace(job, change)
        case Action.START:
            return await _start(job, change)
        case Action.RELEASE:
            return await release(job, change)
        case Action.SETTINGS:
            return await change_settings(job, change)
        case Action.WATCH:
            return await see_still_up(job.context, change, change.machine, job.course)
        case Action.NONE:
            return entry(change, Status.DONE)


async def _create(job: Job, change: Change, carried: Mapping[str, str] | None = None) -> Entry:
    carried = carried or await read_memory(job.context, change, job.stack)
    noted = job.noted(change, {})
    revision = job.options.revision
    made = await create(job.context, change, stack=job.stack, revision=revision, carried=carried, noted=noted)
    done = None if made.is_ours else taken_name(made.machine, change, job.stack, job.options)
    if done and done.status is not Status.DONE:
        return done
    return await _seen_up(job, change, made.machine, fence=None, is_starting=True, done=done)


async def _update(job: Job, change: Change) -> Entry:
    async with job.lease(change) as lease:
        live = await job.settled(change)
        if found := job.objection(live, change) or has_other_owner(live, change, job.stack):
            return found
        if was_done := has_moved(live, change) and is_as_desired(live, change):
            machine = live
        elif is_busy(live, change):
            return await defer(job, lease, live, change)
        elif has_moved(live, change):
            return moved(live, change)
        elif found := await job.changed_back(live, change):
            return found
        elif not await _is_ready_for_update(job, lease, live, change):
            return entry(change, Status.FAILED, f"did not stop within {_STOP_TIMEOUT_S:.0f} s")
        else:
            assert change.desired is not None
            machine = await update_machine(
                job.context,
                lease,
                live,
                change.desired,
                stack=job.stack,
                revision=job.options.revision,
                noted=job.noted(change, live.metadata),
            )
        is_starting = machine.state.is_resting and must_run(change)
        if is_starting:
            await send_start(job.context, lease, machine)
    done = entry(change, Status.DONE, "another apply had done it", machine=live) if was_done else None
    fence = None if was_done else live.newest_event
    return await _seen_up(job, change, machine, fence=fence, is_starting=is_starting, done=done)


async def _is_ready_for_update(job: Job, lease: HeldLease, live: Machine, change: Change) -> bool:
    """Stop a service that becomes a task: an update while it runs would start it."""
    if change.kind is PoolKind.SERVICE or live.state.is_resting:
        return True
    return await stop_and_wait(job.context, lease, live, timeout_s=_STOP_TIMEOUT_S) is not None


async def _start(job: Job, change: Change) -> Entry:
    async with job.lease(change) as lease:
        live = await job.settled(change)
        if found := job.objection(live, change) or has_other_owner(live, change, job.stack):
            return found
        if found := await job.changed_back(live, change):
            return found
        is_starting = live.state.is_resting
        if is_starting:
            await send_start(job.context, lease, live)
    fence = live.newest_event if is_starting else await before_its_run(job.context, live)
    return await _seen_up(job, change, live, fence=fence, is_starting=is_starting)


async def _replace(job: Job, change: Change) -> Entry:
    destroyed, before = await take_away(job, change, frees_name=True)
    if destroyed.status is not Status.DONE:
        return destroyed
    seen = before.config or change.observed  # what no longer is known was seen when it was planned
    return await _create(job, change, carried=seen.metadata if seen else None)


async def _seen_up(
    job: Job, change: Change, machine: Machine, *, fence: str | None, is_starting: bool, done: Entry | None = None
) -> Entry:
    """Return `done`, for a service only once it was seen to stay up."""
    done = done or entry(change, Status.DONE, machine=machine)
    return await see_up(job.context, change, done, machine, job.course, fence=fence, is_starting=is_starting)
