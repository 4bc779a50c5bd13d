"""A run's result: one line for people, one typed object for programs, on failure too."""

from datetime import datetime
from typing import Any

from reconciler.model.run import Outcome, OutcomeName, Run
from reconciler.render.redact import clean
from reconciler.render.style import FORMAT_VERSION


def run_text(run: Run) -> str:
    """One line: the run, its outcome, and what to do where it did not succeed."""
    return outcome_text(run.id or run.task, run.outcome, attempts=run.attempts)


def outcome_text(name: str, outcome: Outcome, *, attempts: int | None = None) -> str:
    """How a run ended, and what to do about it; a task that failed, or that was cancelled, has said so itself."""
    is_told = outcome.remedy and outcome.name not in {OutcomeName.FAILED, OutcomeName.CANCELLED}
    tried = f" (attempt {attempts})" if attempts and attempts > 1 else ""
    told = f"{name}: {clean(outcome.message)}{tried}"
    return told + (f"\n  {clean(outcome.remedy)}" if outcome.remedy and is_told else "")


def run_json(run: Run) -> dict[str, Any]:
    """The run's result; `outcome` by name, so that a task's own 124 is never mistaken for ours."""
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
