"""Write planned marks on machines: one lease for each, machines side by side.

What is to be written, and on which machine, is the planner's to say. Here it is only checked whether that still holds.
"""

import asyncio
from collections.abc import Mapping

from msgspec.structs import replace

from reconciler.apply.executor import Executor
from reconciler.apply.job import Job, Locks
from reconciler.apply.judge import entry, objection_to_marks, overtaken
from reconciler.apply.options import Options
from reconciler.apply.verify import ReadBack
from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError
from reconciler.model import marks
from reconciler.model.change import Change
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine, MachineRef
from reconciler.model.marks import MetadataWrite
from reconciler.model.plan import Plan
from reconciler.model.report import Entry, Reason, Status
from reconciler.model.spec import Spec
from reconciler.planner.bookkeeping import BookkeepingInput, books_of, declared_config, is_surpassed
from reconciler.planner.holders import takes_marks
from reconciler.slots.context import Context
from reconciler.slots.lease import HeldLease
from reconciler.slots.override import restore_if_idle
from reconciler.slots.wait import read_by_id


async def keep_books(
    context: Context, spec: Spec, plan: Plan, read: ReadBack, options: Options, locks: Locks, executor: Executor
) -> tuple[str, ...]:
    """Leave the machines as the next apply and invoke need them.

    Nothing is written if they could not be read back. Return what could not be done, in words.
    """
    found = read.observed
    if found is None:
        return ()
    given = BookkeepingInput(
        selection=options.selection,
        revision=options.revision,
        allow_rollback=options.allow_rollback,
        reviewed=options.plan_sha256,
        has_changes=plan.has_changes,
        is_whole=read.is_whole,
    )
    writes = books_of(spec, found, given)
    if options.only_drift:
        writes = tuple(replace(one, marks={marks.OVERRIDE: ""}) for one in writes if marks.OVERRIDE in one.marks)

    async def write(due: MetadataWrite) -> str | None:
        failures = []
        if marks.OVERRIDE in due.marks:
            failures.append(await _restore(context, due, declared_config(spec, found, due), locks))
            due = replace(due, marks={key: value for key, value in due.marks.items() if key != marks.OVERRIDE})
        if due.marks:
            failures.append(await write_marks(context, due, options, locks))
        return "; ".join(filter(None, failures)) or None

    return await executor.keep(writes, write)


async def change_settings(job: Job, change: Change) -> Entry:
    """Write what the machines do not tell yet of the pool's settings.

    Each machine takes a place of the limit, so the change gives back its own. Return how that ended.
    """
    job.course.tell_written()
    ends = await asyncio.gather(*(_settle(job, change, write) for write in change.writes))
    failed = [end for end in ends if end]
    if not failed:
        return entry(change, Status.DONE)
    is_unknown = any(end.status is Status.UNKNOWN for end in failed)
    reasons = {end.reason for end in failed}
    return entry(
        change,
        Status.UNKNOWN if is_unknown else Status.FAILED,
        "; ".join(end.detail for end in failed),
        reason=reasons.pop() if len(reasons) == 1 else None,
    )


async def _settle(job: Job, change: Change, write: MetadataWrite) -> Entry | None:
    """Write the settings on one machine, unless another change has.

    Return None once they are there.
    """
    assert write.machine_id is not None, "a machine that is made gets its pool's settings with its config"
    where = f"{write.name}: "
    async with job.course.limit:
        try:
            if change.depends_on:
                seen = await read_by_id(job.context, write.app, write.machine_id)
                if seen and not _missing(write, seen):
                    return None
            async with job.locks.hold(write.app, write.machine_id) as lease:
                live = await read_by_id(job.context, write.app, write.machine_id)
                if live is None or live.state.is_gone:
                    return overtaken(change, f"{where}destroyed by someone else since it was planned")
                if objection := objection_to_marks(live, job.stack, job.options):
                    return entry(change, Status.FAILED, where + objection.detail, reason=objection.reason)
                if not takes_marks(live.config):
                    return None
                await send_marks(job.context, lease, live.ref, _missing(write, live))
        except (ApiError, LeaseLostError) as error:
            is_held = isinstance(error, ApiError) and error.kind is ApiErrorKind.LEASE_HELD
            is_unclear = isinstance(error, LeaseLostError) or error.is_unclear
            status = Status.UNKNOWN if is_unclear else Status.FAILED
            return entry(change, status, where + error.message, reason=Reason.LOCK if is_held else None)
    return None


def _missing(write: MetadataWrite, machine: Machine) -> dict[str, str]:
    return {key: value for key, value in write.marks.items() if machine.metadata.get(key, "") != value}


async def send_marks(context: Context, lease: HeldLease, machine: MachineRef, due: Mapping[str, str]) -> None:
    """Send the marks; an empty value takes one away. Raises ApiError, LeaseLostError."""
    for key, value in due.items():
        lease.guard()
        if value:
            await context.client.set_metadata(machine.app, machine.id, key, value)
        else:
            await context.client.delete_metadata(machine.app, machine.id, key)


async def _restore(context: Context, write: MetadataWrite, declared: MachineConfig | None, locks: Locks) -> str | None:
    """Take off a run's override that nobody took off after it.

    Return why it is still there, in words.
    """
    assert write.machine_id is not None, "only machines that were read back are written to"
    machine = MachineRef(write.app, write.machine_id, write.name)
    return await restore_if_idle(context, machine, declared=declared, patience_s=locks.patience_s(machine.id))


async def write_marks(context: Context, write: MetadataWrite, options: Options, locks: Locks) -> str | None:
    """Write the marks of one machine; return why they could not be written."""
    assert write.machine_id is not None, "only machines that were read back are written to"
    due = dict(write.marks)
    try:
        async with locks.hold(write.app, write.machine_id) as lease:
            if marks.HIGHEST in due and options.revision:
                live = await read_by_id(context, write.app, write.machine_id)  # two applies may have seen the same list
                if live is None or is_surpassed(live.metadata, options.revision, allow_rollback=options.allow_rollback):
                    del due[marks.HIGHEST]
            await send_marks(context, lease, MachineRef(write.app, write.machine_id, write.name), due)
    except Exception as error:
        return f"{write.app}/{write.name}: could not write {', '.join(due)}: {context.explain(error)}"
    return None
