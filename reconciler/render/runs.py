"""Show runs as a table or as JSON, and the result of one run.

The result is a line for people, or an object for programs.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from reconciler.model.run import Outcome, OutcomeName, Run, RunInfo, RunState
from reconciler.model.run_ids import short_id, short_ids
from reconciler.model.scope import Scope
from reconciler.render.redact import clean
from reconciler.render.scope import scope_members
from reconciler.render.spans import ago, took
from reconciler.render.style import FORMAT_VERSION, paint, wrapped
from reconciler.render.table import Column, Line, table

_COLUMNS: Final = (
    Column("RUN"),
    Column("STATE"),
    Column("STARTED", 1),
    Column("TOOK", 3),
    Column("CODE", 2),
    Column("WHO", 4),
)
_NARROW: Final = 70  # columns: with less a state is told with its code, and how long ago a run began
_STATE_SYMBOLS: Final = {RunState.RUNNING: "~", RunState.NOT_STARTED: "-"}


def runs_text(
    runs: Iterable[RunInfo],
    *,
    now: datetime,
    width: int | None = None,
    color: bool = False,
    shows_whole_ids: bool = False,
    is_selection: bool = False,
) -> str:
    """Show a table, newest first.

    A narrow terminal gets no less important columns. Of ids the beginnings are shown that name no other run of the
    list; without a `width`, or with `shows_whole_ids`, the whole ids. `is_selection` says that some runs may have been
    left out.
    """
    runs = list(runs)
    if not runs and is_selection:
        return "No such runs found."
    if not runs:
        return "No runs found (about 20 per machine are retained)."
    ids = {} if shows_whole_ids or width is None else short_ids([run.id for run in runs])
    is_narrow = width is not None and width < _NARROW
    lines = [
        Line(_cells(run, ids.get(run.id, run.id), now, is_narrow=is_narrow), run_symbol(run.outcome, run.state))
        for run in runs
    ]
    return "\n".join(table(_COLUMNS, lines, width=width, color=color))


def run_symbol(outcome: Outcome | None, state: RunState = RunState.ENDED) -> str:
    """Return the symbol in whose colour a run is shown: that of its end, or state."""
    if outcome is None:
        return _STATE_SYMBOLS.get(state, "")
    return "+" if outcome.name is OutcomeName.SUCCEEDED else "~" if outcome.exit_code == 0 else "-"


def run_info_json(run: RunInfo) -> dict[str, Any]:
    """Return one run, times in ISO 8601."""
    outcome = run.outcome
    return {
        "run": run.id,
        "task": run.task,
        "app": run.app,
        "slot": run.slot,
        "machine": run.machine_id,
        "state": run.state.value,
        "outcome": outcome.name.value if outcome else None,
        "exit_code": outcome.exit_code if outcome else None,
        "task_exit_code": outcome.task_code if outcome else None,
        "signal": outcome.signal if outcome else None,
        "message": clean(outcome.message) if outcome else None,
        "remedy": clean(outcome.remedy) if outcome and outcome.remedy else None,
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "deadline": run.deadline.isoformat() if run.deadline else None,
        "attempts": run.attempts,
        "who": clean(run.who),
    }


def runs_json(
    runs: Iterable[RunInfo],
    failures: Iterable[str] = (),
    *,
    unreachable: Iterable[str] = (),
    scope: Scope | None = None,
) -> dict[str, Any]:
    """Return all runs.

    `failures` says what could not be read, `unreachable` which machines' hosts are down, `scope` where the stack is.
    """
    return {
        "format_version": FORMAT_VERSION,
        **({"stack": scope.stack} if scope else {}),
        **scope_members(scope),
        "runs": [run_info_json(run) for run in runs],
        "unreachable": [clean(address) for address in unreachable],
        "failures": [clean(failure) for failure in failures],
    }


def _cells(run: RunInfo, name: str, now: datetime, *, is_narrow: bool) -> tuple[str, ...]:
    code = "" if run.outcome is None or run.outcome.task_code is None else str(run.outcome.task_code)
    state = run.outcome.name.value.replace("_", " ") if run.outcome else run.state.value
    started = "" if run.started_at is None else f"{run.started_at:%Y-%m-%d %H:%M:%S}"
    if is_narrow:
        started = ago(run.started_at, now) if run.started_at else ""
        state, code = f"{state} {code}".rstrip() if run.outcome and run.outcome.exit_code else state, ""
    return (clean(name, 100), state, started, _took(run, now), code, clean(run.who, 60))


def _took(run: RunInfo, now: datetime) -> str:
    end = run.ended_at or (now if run.state is RunState.RUNNING else None)
    return "" if run.started_at is None or end is None else took(run.started_at, end)


def run_text(run: Run) -> str:
    """Show in one line the run, its outcome, and what to do about it."""
    return outcome_text(run.id or run.task, run.outcome, attempts=run.attempts)


def end_text(run: Run | RunInfo, *, width: int | None = None, color: bool = False, shows_whole_id: bool = False) -> str:
    """Show how a run ended: outcome, code and time, and below it what to do."""
    outcome = run.outcome
    assert outcome is not None, "the run has ended"
    name = run.id or run.task
    if run.id and not shows_whole_id:
        name = short_id(run.id)
    said = clean(outcome.message)
    word = outcome.name.value.replace("_", " ")
    if outcome.name in {OutcomeName.SUCCEEDED, OutcomeName.FAILED}:
        said = f"exit code {outcome.exit_code}"
    told = f"{name}: {said}" if said.startswith(word) else f"{name}: {word} ({said})"
    if run.started_at and run.ended_at:
        told += f" in {took(run.started_at, run.ended_at)}"
    if run.attempts and run.attempts > 1:
        told += f", attempt {run.attempts}"
    lines = [paint(line, run_symbol(outcome), color=color) for line in wrapped(told, width, hanging=2)]
    if remedy := _remedy(outcome):
        lines += wrapped(remedy.strip(), width, indent=2, hanging=0)
    return "\n".join(lines)


def _remedy(outcome: Outcome) -> str:
    """Return a line with what to do; none about a task that just failed."""
    is_told = outcome.remedy and outcome.name not in {OutcomeName.FAILED, OutcomeName.CANCELLED}
    return f"\n  {clean(outcome.remedy)}" if outcome.remedy and is_told else ""


def outcome_text(name: str, outcome: Outcome, *, attempts: int | None = None) -> str:
    """Say how a run ended, and what to do about it.

    Nothing is to be done about a task that failed or was cancelled.
    """
    tried = f" (attempt {attempts})" if attempts and attempts > 1 else ""
    told = f"{name}: {clean(outcome.message)}{tried}"
    return told + _remedy(outcome)


def run_json(run: Run) -> dict[str, Any]:
    """Return the run's result.

    `outcome` is there by name, so that a task's own 124 is not taken for ours.
    """
    outcome = run.outcome
    return {
        "format_version": FORMAT_VERSION,
        "run": run.id,
        "task": run.task,
        "app": run.app or None,
        "slot": run.slot.name if run.slot else None,
        "region": run.slot.region if run.slot else None,
        "machine": run.machine_id,
        "outcome": outcome.name.value,
        "exit_code": outcome.exit_code,
        "task_exit_code": outcome.task_code,
        "signal": outcome.signal,
        "message": clean(outcome.message),
        "cause": outcome.cause.value if outcome.cause else None,
        "remedy": clean(outcome.remedy) if outcome.remedy else None,
        "started_at": _time(run.started_at),
        "ended_at": _time(run.ended_at),
        "attempts": run.attempts,
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
