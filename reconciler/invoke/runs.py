"""Runs as things: listed, found, waited for, cancelled and read, from any machine, without a memory of our own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from reconciler.errors import LogsIncompleteError, UnobservedError, UsageError
from reconciler.invoke.absence import LOST_AFTER_S, do_patiently
from reconciler.invoke.claim_request import Claim
from reconciler.invoke.follow import follow, stop_run
from reconciler.invoke.history import ending_of, runs_with_spans
from reconciler.invoke.logs import DRAIN_LIMIT_S, RunLogs, TakeLine, TakeProblem
from reconciler.invoke.past_runs import kept_runs, read_events, task_machines
from reconciler.model import marks
from reconciler.model.machine import Event, Machine
from reconciler.model.run import OutcomeName, RunInfo, RunState
from reconciler.slots.context import Context
from reconciler.slots.run_starts import RunSpan

_AT_ONCE: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun:
    """A run with what is needed to follow it: its machine, and its starts, if they are still told."""

    info: RunInfo
    machine: Machine
    span: RunSpan | None = None


async def list_runs(
    context: Context,
    app: str,
    *,
    stack: str | None,
    task: str | None = None,
    failures: list[str] | None = None,
    unreachable: list[str] | None = None,
) -> list[FoundRun]:
    """Return the retained runs of the app's tasks, newest first: one call, and one more for each machine.

    Those of machines that are gone too, as far as a pool's anchor keeps them, or the platform tells of the machine. A
    machine that cannot be read is added to `failures` in words; where None are kept, its error is raised. The addresses
    of machines whose hosts are down are added to `unreachable`.
    """
    listed = await context.client.list_machines(app, with_destroyed=True) or ()
    machines = [one for one in task_machines(listed, stack) if task in {None, one.metadata[marks.POOL]}]
    gone = [one for one in task_machines(listed, stack, are_gone=True) if task in {None, one.metadata[marks.POOL]}]
    for machine in _unreachable(listed, stack):
        if task is None or machine.metadata.get(marks.POOL, task) == task:
            context.emit(_words(machine))
            if unreachable is not None:
                unreachable.append(f"{machine.app}/{machine.name}")
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(machine: Machine) -> list[FoundRun]:
        async with limit:
            try:
                return await runs_on(context, machine)
            except Exception as error:
                if failures is None:
                    raise
                why = f"the runs of {machine.app}/{machine.name} cannot be read: {context.explain(error)}"
                failures.append(why)
                return []

    found = [run for runs in await asyncio.gather(*(one(machine) for machine in (*machines, *gone))) for run in runs]
    told = {run.info.id for run in found}
    found += [run for run in _kept(machines) if run.info.id not in told]
    known = [run for run in found if run.info.started_at]
    known.sort(key=lambda run: (run.info.started_at, run.info.id), reverse=True)
    others = [run for run in found if not run.info.started_at]
    going_on = [run for run in others if run.info.state is RunState.RUNNING]
    return going_on + known + [run for run in others if run.info.state is not RunState.RUNNING]


async def find_run(context: Context, app: str, run_id: str, *, stack: str | None) -> FoundRun | None:
    """Return the run of this id, also where its machine is gone; None where the app has none such.

    Raises UnobservedError where its machine cannot be observed.
    """
    seen = await context.client.list_machines(app) or ()
    machines = task_machines(seen, stack)
    if found := await _find_on(context, machines, run_id):
        return found
    if kept := next((run for run in _kept(machines) if run.info.id == run_id), None):
        return kept
    for machine in _unreachable(seen, stack):
        if machine.name in {"", run_id.partition("/")[0]}:
            raise UnobservedError(_words(machine), hint="try again once it can be observed")
    listed = await context.client.list_machines(app, with_destroyed=True) or ()
    return await _find_on(context, task_machines(listed, stack, are_gone=True), run_id)


async def _find_on(context: Context, machines: Sequence[Machine], run_id: str) -> FoundRun | None:
    """The run of this id on the machines of its slot: a name may have been several machines' one after the other."""
    for machine in machines:
        if machine.name == run_id.partition("/")[0]:
            found = next((run for run in await runs_on(context, machine) if run.info.id == run_id), None)
            if found:
                return found
    return None


def _kept(machines: Sequence[Machine]) -> list[FoundRun]:
    return [FoundRun(info=info, machine=keeper) for info, keeper in kept_runs(machines)]


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
    """The run once it has ended. One past its recorded deadline is ended: nobody else does it for a dead watcher.

    Still running, with the outcome LOST, where the target gave no usable answer for `lost_after_s`, and for one that
    `was_stopped` where it is seen to go on a minute after its kill was due. `take_line` gets its output;
    `on_incomplete` is told where lines of that are missing.
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
    """Whether its machine rests and its exit is not reported: that may come a moment after the state."""
    outcome = run.info.outcome
    is_lost = outcome is not None and outcome.name is OutcomeName.LOST and run.info.ended_at is None
    return is_lost and run.span is not None and run.span.following is None


async def cancel_run(context: Context, run: FoundRun) -> bool:
    """Ends the run with its stop signal, then the kill; False where it was over already."""
    if run.info.state is not RunState.RUNNING:
        return False
    return await stop_run(context, claim_of(run))


async def cancel_by_id(context: Context, app: str, run_id: str, *, stack: str, lost_after_s: float) -> RunInfo | None:
    """End the run that its watcher let go, and return how it ended; None where it is no longer told of.

    Raises ReconcilerError where the target did not let us for a minute.
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
    """Every line of the run that is kept, up to now.

    Raises UsageError where the run has none, LogsIncompleteError where they cannot all be read.
    """
    logs = _logs_of(context, run, take_line, log_delay_s, fail)
    up_to = context.clock.now() if run.info.state is RunState.RUNNING else None
    await logs.drain(ended_at=run.info.ended_at, up_to=up_to)
    if run.info.started_at is None:
        raise LogsIncompleteError(
            f"the output of {run.info.id} is incomplete: its first attempts are no longer told from other runs"
        )


def fail(problem: LogsIncompleteError) -> None:
    """Raise it: for whoever wants the output and nothing else."""
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
    return f"the logs of run {run.info.id} are no longer told from others"


async def runs_on(context: Context, machine: Machine) -> list[FoundRun]:
    """The runs of one machine that are still told of, newest first."""
    return runs_in(machine, await read_events(context, machine))


def claim_of(run: FoundRun) -> Claim:
    """The run as its claimer saw it, for whoever follows it later."""
    assert run.span is not None, "a run in progress has its start among the events"
    return Claim(run_ulid=run.info.id.partition("/")[2], machine=run.machine, start=run.span.starts[0])


def run_of_claim(claim: Claim, context: Context, *, timeout_s: float | None) -> FoundRun:
    """A run that has just begun, without another look."""
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


def runs_in(machine: Machine, events: Sequence[Event]) -> list[FoundRun]:
    """The runs that the machine's records and these events tell of, newest first."""
    return [FoundRun(info=info, machine=machine, span=span) for info, span in runs_with_spans(machine, events)]


def _unreachable(machines: Sequence[Machine], stack: str | None) -> list[Machine]:
    """The machines that cannot be observed, and whose marks, if there are any to read, do not name another stack."""
    return [
        machine
        for machine in machines
        if not machine.is_observable
        and marks.may_be_owned(machine.metadata, stack=stack, name=machine.name, are_whole=machine.shows_marks)
    ]


def _words(machine: Machine) -> str:
    return f"{machine.app}/{machine.name or 'a machine'} is {machine.doubt}, so its runs cannot be told"
