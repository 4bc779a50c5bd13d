"""Show a run's result: a line for people, an object for programs."""

from datetime import datetime
from typing import Any

from reconciler.model.run import Outcome, OutcomeName, Run
from reconciler.render.redact import clean
from reconciler.render.style import FORMAT_VERSION


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
