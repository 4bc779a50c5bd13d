"""Attach to a run: wait for it, cancel it, read its logs, stop it if overdue."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError, LogsIncompleteError, UsageError
from reconciler.invoke.absence import LOST_AFTER_S, do_patiently
from reconciler.invoke.claim_request import Claim
from reconciler.invoke.follow import follow, stop_run
from reconciler.invoke.history import ending_of
from reconciler.invoke.logs import DRAIN_LIMIT_S, RunLogs, TakeLine, TakeProblem
from reconciler.invoke.runs import FoundRun, find_run, runs_on
from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.run import OutcomeName, RunInfo, RunState
from reconciler.slots.context import Context
from reconciler.slots.run_records import records_of
from reconciler.slots.run_starts import RunSpan


def claim_of(run: FoundRun) -> Claim:
    """Return the run as its claim, to follow it later."""
    assert run.span is not None, "a run in progress has its start among the events"
    return Claim(run_ulid=run.info.id.partition("/")[2], machine=run.machine, start=run.span.starts[0])


def run_of_claim(claim: Claim, context: Context, *, timeout_s: float | None) -> FoundRun:
    """Return a run that has just started, without reading the machine again."""
    machine = claim.machine
    info = RunInfo(
        id=f"{machine.name}/{claim.run_ulid}",
        task=machine.metadata.get(marks.POOL, ""),
        app=machine.app,
        slot=machine.name,
        machine_id=machine.id,
        state=RunState.RUNNING,
        who=context.who,
        started_at=claim.start.at,
        deadline=context.clock.now() + timedelta(seconds=timeout_s) if timeout_s else None,
        attempts=1,
    )
    return FoundRun(info=info, machine=machine, span=RunSpan(starts=(claim.start,)))


async def wait_run(
    context: Context,
    run: FoundRun,
    *,
    take_line: TakeLine | None = None,
    log_delay_s: float = 0.0,
    lost_after_s: float = LOST_AFTER_S,
    on_incomplete: TakeProblem | None = None,
    was_stopped: bool = False,
) -> RunInfo:
    """Wait for the end of a run, and stop it at its recorded deadline.

    Nobody else enforces the deadline once the process that started the run is dead. The result is still running, with
    the outcome LOST, if the target gave no usable answer for `lost_after_s`, or if a run that `was_stopped` still runs
    a minute after its kill was due. `take_line` gets its output; `on_incomplete` is called if lines are missing.
    """
    if run.info.state is not RunState.RUNNING and not _may_be_told_yet(run):
        if take_line and run.span is None:
            context.emit(_no_logs(run))
        elif take_line:
            await _logs_of(context, run, take_line, log_delay_s, on_incomplete).drain(
                ended_at=run.info.ended_at, limit_s=DRAIN_LIMIT_S
            )
        return run.info
    claim = claim_of(run)
    deadline = run.info.deadline
    left_s = max(0.01, (deadline - context.clock.now()).total_seconds()) if deadline else None
    logs = _logs_of(context, run, take_line, log_delay_s, on_incomplete) if take_line else None
    ending = await follow(
        context, claim, timeout_s=left_s, logs=logs, lost_after_s=lost_after_s, was_stopped=was_stopped
    )
    if not ending.is_over:
        return replace(run.info, outcome=ending.outcome)
    ended_at = ending.exit_event.at if ending.exit_event else None
    outcome = ending.outcome
    if ended_at and ending.exit_event and ending.exit_event.exit and outcome.name is OutcomeName.CANCELLED:
        outcome = ending_of(ending.exit_event.exit, ended_at=ended_at, deadline=deadline)
    attempts = ending.attempts or run.info.attempts
    return replace(run.info, state=RunState.ENDED, outcome=outcome, ended_at=ended_at, attempts=attempts)


def _may_be_told_yet(run: FoundRun) -> bool:
    """Return whether the exit may still be reported, as it can lag the state (A14)."""
    outcome = run.info.outcome
    is_lost = outcome is not None and outcome.name is OutcomeName.LOST and run.info.ended_at is None
    return is_lost and run.span is not None and run.span.following is None


async def cancel_run(context: Context, run: FoundRun) -> bool:
    """Stop the run by its stop signal, then a kill. Return False if it had ended."""
    if run.info.state is not RunState.RUNNING:
        return False
    return await stop_run(context, claim_of(run))


async def cancel_by_id(context: Context, app: str, run_id: str, *, stack: str, lost_after_s: float) -> RunInfo | None:
    """Cancel the run of this id and return how it ended; None if it is not found.

    Raises ReconcilerError if it cannot be cancelled within a minute.
    """

    async def cancel() -> tuple[FoundRun, bool] | None:
        found = await find_run(context, app, run_id, stack=stack)
        if found:
            was_running = await cancel_run(context, found)
            return found, was_running
        return None

    done = await do_patiently(context, f"{run_id}: cannot cancel the run", cancel, lost_after_s=lost_after_s)
    return await wait_run(context, done[0], lost_after_s=lost_after_s, was_stopped=done[1]) if done else None


async def read_run_logs(context: Context, run: FoundRun, take_line: TakeLine, *, log_delay_s: float) -> None:
    """Read all retained lines of the run, up to now.

    Raises UsageError if the lines of the run are not known, LogsIncompleteError if some cannot be read.
    """
    logs = _logs_of(context, run, take_line, log_delay_s, fail)
    up_to = context.clock.now() if run.info.state is RunState.RUNNING else None
    await logs.drain(ended_at=run.info.ended_at, up_to=up_to)
    if run.info.started_at is None:
        raise LogsIncompleteError(
            f"the output of {run.info.id} is incomplete: the lines of its first attempts can no longer be identified"
        )


def fail(problem: LogsIncompleteError) -> None:
    """Raise the problem, for callers that want the complete output or an error."""
    raise problem


def _logs_of(
    context: Context, run: FoundRun, take_line: TakeLine, log_delay_s: float, on_incomplete: TakeProblem | None
) -> RunLogs:
    if run.span is None:
        raise UsageError(_no_logs(run), hint="see `reconciler runs`")
    return RunLogs(
        context,
        claim_of(run),
        take_line,
        delay_s=log_delay_s,
        span=run.span,
        known_until=run.info.ended_at,
        on_incomplete=on_incomplete,
    )


def _no_logs(run: FoundRun) -> str:
    return f"the log lines of run {run.info.id} can no longer be identified"


async def end_overdue(context: Context, machines: Sequence[Machine]) -> bool:
    """Stop the runs past their recorded deadline. Return whether there were any.

    An invoke that queues for these machines calls this: a run whose process died would block its slot for ever.
    """
    now = context.clock.now()
    ended = False
    for machine in machines:
        if not _may_be_overdue(machine, now):
            continue
        run = next(iter(await runs_on(context, machine)), None)
        if run is None or run.info.state is not RunState.RUNNING or run.info.deadline is None:
            continue
        if now >= run.info.deadline and await _stop_overdue(context, claim_of(run)):
            context.emit(f"{run.info.id} was past its deadline, and nobody watched it: stopped")
            ended = True
    return ended


def _may_be_overdue(machine: Machine, now: datetime) -> bool:
    """Return whether a run of the machine may go on past its deadline."""
    records = records_of(machine.metadata).values()
    is_past = any(record.deadline is not None and record.deadline <= now for record in records)
    return is_past and not machine.state.is_resting and not machine.state.is_gone


async def _stop_overdue(context: Context, claim: Claim) -> bool:
    """Stop the run like `stop_run`.

    False if someone else, who may stop it, has the lease.
    """
    try:
        return await stop_run(context, claim)
    except LeaseLostError:
        return False
    except ApiError as error:
        if error.kind is not ApiErrorKind.LEASE_HELD:
            raise
        return False
