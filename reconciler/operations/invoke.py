"""Run a task of a spec once, and end a run that was let go."""

import asyncio

from msgspec.structs import replace

from reconciler.errors import ReconcilerError, UsageError
from reconciler.invoke.cancellation import until_stopped
from reconciler.invoke.invoke import InvokeOptions
from reconciler.invoke.invoke import invoke as invoke_pool
from reconciler.invoke.outcome import lost_from_sight
from reconciler.model.run import Run
from reconciler.model.run_policy import Override, objection_to
from reconciler.model.spec import Pool, Spec
from reconciler.operations.load import find_task
from reconciler.operations.session import Session
from reconciler.slots.context import Context


def find_invocable(spec: Spec, task: str, override: Override) -> Pool:
    """Return the task of this name.

    Raises UsageError if there is none, or if it does not allow the override.
    """
    pool = find_task(spec, task)
    if why := objection_to(override, pool.run_policy):
        allowed = pool.run_policy.env | {name for name, _ in override.env}
        args = override.args is not None or pool.run_policy.args_after is not None
        said = [*(["args: true"] if args else []), *([f"env: [{', '.join(sorted(allowed))}]"] if allowed else [])]
        where = f" on line {pool.place.line} of {pool.place.file}" if pool.place else ""
        hint = f"allow it: add `overrides: {{{', '.join(said)}}}` to the task{where}, then `reconciler apply`"
        raise UsageError(f"task {task}: {why}", hint=hint)
    return pool


async def invoke(
    session: Session, pool: Pool, *, stack: str, options: InvokeOptions, stop: asyncio.Event | None = None
) -> Run:
    """Run the task once. Raises ApiError if the API itself fails.

    The target decides how late its log may come. Once `stop` is set, the run is no longer followed: the outcome is
    DETACHED, or INTERRUPTED if the run had not started.
    """
    options = replace(options, log_delay_s=session.target.log_delay_s)
    return await invoke_pool(session.context, pool, stack=stack, options=options, stop=stop)


async def cancel_let_go(context: Context, run: Run, stack: str, *, lost_after_s: float, insisted: asyncio.Event) -> Run:
    """End the run that an interrupt has let go, and return how it ended.

    Once `insisted` is set, return at once.
    """
    from reconciler.invoke.attach import cancel_by_id

    run_id = run.id or ""
    cancelling = cancel_by_id(context, run.app, run_id, stack=stack, lost_after_s=lost_after_s)
    try:
        info = await until_stopped(cancelling, insisted)
    except ReconcilerError as error:
        why = f"whether it was cancelled is not known: {error.message}"
        return replace(run, outcome=lost_from_sight(run_id, why, context.local, verb="cancel"))
    if info is None and insisted.is_set():
        why = "interrupted again before its end was seen; it may go on"
        return replace(run, outcome=lost_from_sight(run_id, why, context.local, verb="cancel"))
    if info is None:
        return run
    return replace(run, outcome=info.outcome or run.outcome, ended_at=info.ended_at)
