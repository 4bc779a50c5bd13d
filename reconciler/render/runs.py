"""Show runs as a table or as JSON, and the result of one run.

The result is a line for people, or an object for programs.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from reconciler.model.run import Outcome, OutcomeName, Run, RunInfo, RunState
from reconciler.render.redact import clean
from reconciler.render.style import FORMAT_VERSION

_HEADINGS: Final = ("RUN", "STATE", "STARTED", "TOOK", "CODE", "WHO")
_NARROW: Final = 100


def runs_text(runs: Iterable[RunInfo], *, now: datetime, width: int = 100) -> str:
    """Show a table, newest first; on a narrow terminal without who started each."""
    rows = [_cells(run, now) for run in runs]
    if not rows:
        return "No runs found (about 20 per machine are retained)."
    columns = range(len(_HEADINGS) - (1 if width < _NARROW else 0))
    lines = [_HEADINGS, *rows]
    widths = [max(len(line[column]) for line in lines) for column in columns]
    return "\n".join("  ".join(line[column].ljust(widths[column]) for column in columns).rstrip() for line in lines)


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
    runs: Iterable[RunInfo], failures: Iterable[str] = (), *, unreachable: Iterable[str] = ()
) -> dict[str, Any]:
    """Return all runs.

    `failures` says what could not be read, `unreachable` which machines' hosts are down.
    """
    return {
        "format_version": FORMAT_VERSION,
        "runs": [run_info_json(run) for run in runs],
        "unreachable": [clean(address) for address in unreachable],
        "failures": [clean(failure) for failure in failures],
    }


def _cells(run: RunInfo, now: datetime) -> tuple[str, ...]:
    took = _took(run, now)
    code = "" if run.outcome is None or run.outcome.task_code is None else str(run.outcome.task_code)
    state = run.outcome.name.value.replace("_", " ") if run.outcome else run.state.value
    started = run.started_at.strftime("%Y-%m-%d %H:%M:%S") if run.started_at else ""
    return (clean(run.id, 100), state, started, took, code, clean(run.who, 60))


def _took(run: RunInfo, now: datetime) -> str:
    if run.started_at is None:
        return ""
    end = run.ended_at or (now if run.state is RunState.RUNNING else None)
    if end is None:
        return ""
    seconds = max(0.0, (end - run.started_at).total_seconds())
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes}m{seconds:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def run_text(run: Run) -> str:
    """Show in one line the run, its outcome, and what to do about it."""
    return outcome_text(run.id or run.task, run.outcome, attempts=run.attempts)


def outcome_text(name: str, outcome: Outcome, *, attempts: int | None = None) -> str:
    """Say how a run ended, and what to do about it.

    Nothing is to be done about a task that failed or was cancelled.
    """
    is_told = outcome.remedy and outcome.name not in {OutcomeName.FAILED, OutcomeName.CANCELLED}
    tried = f" (attempt {attempts})" if attempts and attempts > 1 else ""
    told = f"{name}: {clean(outcome.message)}{tried}"
    return told + (f"\n  {clean(outcome.remedy)}" if outcome.remedy and is_told else "")


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
