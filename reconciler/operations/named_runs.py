"""Find the run that a user names, and act on it.

A run is named by its id or a beginning of it, or for some verbs by a task, whose newest run is meant.
"""

import asyncio

from reconciler.errors import ApiError, ApiErrorKind, UsageError
from reconciler.invoke.absence import Absence
from reconciler.invoke.attach import cancel_run, wait_run
from reconciler.invoke.outcome import lost_from_sight
from reconciler.invoke.runs import FoundRun, find_run, find_runs, list_runs, only_run
from reconciler.model.run import RunInfo, RunState
from reconciler.model.run_ids import is_whole, may_be_run
from reconciler.model.spec import Spec
from reconciler.operations.load import find_task
from reconciler.slots.context import Context
from reconciler.slots.lease import CALL_TIMEOUT_S


async def find_named_run(context: Context, spec: Spec, run_id: str) -> FoundRun:
    """Return the run of this id, or whose id begins so, in any app of the spec.

    Raises UsageError if there is none, or if several runs' ids begin so.
    """
    if not may_be_run(run_id):
        raise UsageError(f"{run_id!r} is not a run's id", hint="ids are listed by `reconciler runs`")
    found: list[FoundRun] = []
    for app in spec.apps:
        if not is_whole(run_id):
            found += await find_runs(context, app.name, run_id, stack=spec.stack)
        elif run := await find_run(context, app.name, run_id, stack=spec.stack):
            return run
    if one := only_run(found, run_id):
        return one
    raise UsageError(f"there is no run {run_id}, or it is no longer retained", hint="see `reconciler runs`")


async def seek_named_run(context: Context, spec: Spec, run_id: str, *, lost_after_s: float) -> FoundRun | RunInfo:
    """Return the run of this id; look again while the target gives no usable answer.

    The run is LOST if that takes too long. Raises UsageError, and ApiError if asking again is of no use.
    """
    absence = Absence(context, f"{run_id}: cannot look for the run", lost_after_s=lost_after_s)

    async def look() -> FoundRun | ApiError:
        try:
            return await find_named_run(context, spec, run_id)
        except ApiError as error:
            is_elsewhere = error.kind is ApiErrorKind.NOT_AN_API and (error.status or 0) < 500
            if error.is_passing and not is_elsewhere:
                raise
            return error

    try:
        async with asyncio.timeout(max(lost_after_s, CALL_TIMEOUT_S)):
            while (found := await absence.ask(look)) is None:
                pass
    except (ApiError, TimeoutError) as error:
        why = f"{absence.lasted}: {error.message}" if isinstance(error, ApiError) else "it could not be found in time"
        return _lost(context, spec, run_id, why)
    if isinstance(found, ApiError):
        raise found
    return found


def _lost(context: Context, spec: Spec, run_id: str, why: str) -> RunInfo:
    """Return a run of which nothing is known but its id."""
    slot = run_id.partition("/")[0]
    return RunInfo(
        id=run_id,
        task=next((pool.name for pool in spec.tasks for one in pool.slots if one.name == slot), slot.rsplit("-", 2)[0]),
        app=spec.apps[0].name if len(spec.apps) == 1 else "",
        slot=slot,
        machine_id="",
        state=RunState.RUNNING,
        who="unknown",
        outcome=lost_from_sight(run_id, why, context.local),
    )


async def find_run_or_newest(context: Context, spec: Spec, name: str) -> FoundRun:
    """Return the run of this id, or the newest run of the task of this name.

    Raises UsageError.
    """
    if may_be_run(name) and name not in {task.name for task in spec.tasks}:
        return await find_named_run(context, spec, name)
    task = find_task(spec, name)
    runs = await list_runs(context, task.app, stack=spec.stack, task=task.name)
    if not runs:
        why = f"task {name} has no runs (about 20 per machine are retained)"
        raise UsageError(why, hint=f"`reconciler invoke {name}` starts one")
    return runs[0]


async def cancel_named_run(context: Context, spec: Spec, run_id: str) -> tuple[RunInfo, bool]:
    """End the run of this id and wait for its end.

    Return it, and whether it was still running. Raises UsageError.
    """
    run = await find_named_run(context, spec, run_id)
    was_running = await cancel_run(context, run)
    return await wait_run(context, run, was_stopped=was_running), was_running


async def wait_named_run(context: Context, spec: Spec, run_id: str, *, lost_after_s: float) -> RunInfo:
    """Wait for the end of the run of this id, and return it. Raises UsageError.

    The run is LOST if the target gives no usable answer for too long.
    """
    found = await seek_named_run(context, spec, run_id, lost_after_s=lost_after_s)
    if isinstance(found, RunInfo):
        return found
    return await wait_run(context, found, lost_after_s=lost_after_s)
