"""Invoke a task: queue for a free machine, claim it, follow the run to its end.

A run that failed is a value, not an exception.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from reconciler.errors import ReconcilerError
from reconciler.invoke.absence import LOST_AFTER_S
from reconciler.invoke.cancellation import until_stopped
from reconciler.invoke.claim_request import Claim, Claimant, Unconfirmed
from reconciler.invoke.follow import Ending, follow
from reconciler.invoke.logs import RunLogs, TakeLine
from reconciler.invoke.outcome import detached, lost_from_sight
from reconciler.invoke.pool_cache import KnownPool
from reconciler.invoke.queue import OnBusy, queue
from reconciler.model.run import Outcome, Run
from reconciler.model.run_policy import Override
from reconciler.model.spec import Pool, slot_named
from reconciler.slots.context import Context

if TYPE_CHECKING:
    from reconciler.invoke.runs import FoundRun

__all__ = ["InvokeOptions", "OnBusy", "begin", "invoke"]

_LOG_DELAY_S: Final = 3.0


class InvokeOptions(Struct, frozen=True, kw_only=True):
    """How one invoke behaves. Durations are in seconds.

    With `timeout_s` None the task's own timeout holds. `take_line` gets each line of the task's output; with None no
    logs are read. `log_delay_s` is how long after the exit lines may still come. With `is_waiting` False the invoke
    returns as soon as the run has started. Of all invokes with the same `key` the first one starts the run, and the
    others attach to it. `override` holds the args and env of this run. After `lost_after_s` without a usable answer of
    the target the run is given up.
    """

    on_busy: OnBusy = OnBusy.WAIT
    queue_timeout_s: float = 600.0
    start_timeout_s: float = 60.0
    timeout_s: float | None = None
    is_waiting: bool = True
    key: str | None = None
    override: Override = field(default_factory=Override)
    take_line: TakeLine | None = None
    log_delay_s: float = _LOG_DELAY_S
    lost_after_s: float = LOST_AFTER_S


async def invoke(
    context: Context, pool: Pool, *, stack: str, options: InvokeOptions, stop: asyncio.Event | None = None
) -> Run:
    """Invoke the task and return its run.

    Raises ApiError if the API fails before the start. The run has ended, or only started with `is_waiting` False. After
    an unexpected error a run that may have started is LOST. If `stop` is set before the start, nothing runs and the
    outcome is INTERRUPTED; after the start the run goes on, and the outcome is DETACHED.
    """
    stop = stop or asyncio.Event()
    claimed = await begin(context, pool, stack=stack, options=options, stop=stop)
    if isinstance(claimed, Outcome):
        return _run(pool, claimed)
    if isinstance(claimed, Unconfirmed):
        return _run(pool, lost_from_sight(claimed.run_id, claimed.why, context.local), claimed)
    if not isinstance(claimed, Claim):
        return await _attach(context, pool, claimed, options, stop)
    context.emit(f"{claimed.machine.name}: started")
    if not options.is_waiting:
        return _run(pool, detached("started; not waited for"), claimed)
    logs = RunLogs(context, claimed, options.take_line, delay_s=options.log_delay_s) if options.take_line else None
    timeout_s = options.timeout_s or pool.run_policy.timeout_s
    following = follow(context, claimed, timeout_s=timeout_s, logs=logs, lost_after_s=options.lost_after_s)
    try:
        ending = await until_stopped(following, stop)
    except ReconcilerError:
        raise
    except Exception as error:
        return _run(pool, lost_from_sight(claimed.run_id, context.explain(error), context.local), claimed)
    if ending is None:
        return _run(pool, detached("detached; the run goes on"), claimed)
    return _run(pool, ending.outcome, claimed, ending)


async def begin(
    context: Context,
    pool: Pool,
    *,
    stack: str,
    options: InvokeOptions,
    stop: asyncio.Event | None = None,
    known: KnownPool | None = None,
    turn: asyncio.Semaphore | None = None,
) -> "Claim | FoundRun | Unconfirmed | Outcome":
    """Start a run, or find the one of its key. Raises ApiError.

    Return the claim of a run that has just started, the run that the key has already, a run that may have started
    (Unconfirmed), or the outcome if nothing was started. A caller that invokes more than once keeps `known`, which
    saves the LIST, and `turn`, which keeps the queue in order.
    """
    claimant = Claimant(
        context=context,
        stack=stack,
        pool=pool,
        known=known or KnownPool(app=pool.app, pool=pool.name, stack=stack),
        start_timeout_s=options.start_timeout_s,
        timeout_s=options.timeout_s or pool.run_policy.timeout_s,
        lost_after_s=options.lost_after_s,
        key=_key_mark(stack, pool, options.key) if options.key else "",
        override=options.override,
        stop=stop or asyncio.Event(),
    )
    return await queue(claimant, on_busy=options.on_busy, queue_timeout_s=options.queue_timeout_s, turn=turn)


def _key_mark(stack: str, pool: Pool, key: str) -> str:
    """Return the key as it is marked: that of this task of this stack alone."""
    from reconciler.invoke.key_marks import hash_of

    return hash_of(stack, pool.app, pool.name, key)


async def _attach(context: Context, pool: Pool, found: "FoundRun", options: InvokeOptions, stop: asyncio.Event) -> Run:
    """Wait for the run that another caller started with the same key."""
    from reconciler.invoke.attach import wait_run

    context.emit(f"{found.info.id}: started before with this key; attaching")
    info = found.info
    if options.is_waiting:
        waiting = wait_run(
            context,
            found,
            take_line=options.take_line,
            log_delay_s=options.log_delay_s,
            lost_after_s=options.lost_after_s,
        )
        info = await until_stopped(waiting, stop) or info
    outcome = info.outcome or detached("the run goes on")
    return Run(
        task=pool.name,
        app=pool.app,
        outcome=outcome,
        id=info.id,
        slot=slot_named(pool.app, pool.name, info.slot, region=found.machine.region),
        machine_id=info.machine_id,
        started_at=info.started_at,
        ended_at=info.ended_at,
        attempts=info.attempts,
    )


def _run(pool: Pool, outcome: Outcome, claimed: Claim | Unconfirmed | None = None, ending: Ending | None = None) -> Run:
    if claimed is None:
        return Run(task=pool.name, app=pool.app, outcome=outcome)
    machine = claimed.machine
    ended = ending.exit_event if ending else None
    return Run(
        task=pool.name,
        app=pool.app,
        outcome=outcome,
        id=claimed.run_id,
        slot=slot_named(pool.app, pool.name, machine.name, region=machine.region),
        machine_id=machine.id,
        started_at=claimed.start.at if isinstance(claimed, Claim) else None,
        ended_at=ended.at if ended else None,
        attempts=ending.attempts if ending else None,
    )
