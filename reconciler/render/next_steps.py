"""Say what to type next after an apply or a destroy.

It is never a command that would undo what was done.
"""

from reconciler.model.plan import Plan
from reconciler.model.report import Reason, Report, Status


def after_report(report: Report, verb: str) -> str | None:
    """Return the next step after `verb` was run; None if nothing is left to do."""
    if report.superseded_by:
        return None
    again = f"`reconciler {verb}` again"
    if report.is_on_course and report.unreachable:
        are_dark = all(machine.is_dark for machine in report.unreachable)
        when = "the hosts of the unreachable machines are back" if are_dark else "all machines can be observed"
        return f"Next: run {again} once {when}."
    if any(entry.reason is Reason.LOCK for entry in report.entries):
        return f"Next: run {again} once the leases are free; `reconciler unlock` shows who holds them."
    if not report.is_success and verb in {"destroy", "release"}:
        return f"Next: run {again}; `reconciler status` shows what is left."
    if not report.is_success:
        return "Next: run `reconciler plan` to see what is left; apply picks up from there."
    if any(entry.status is Status.DEFERRED for entry in report.entries):
        return f"Next: run {again} once the deferred slots' runs have ended."
    return None


def after_refusal(plan: Plan, verb: str) -> str:
    """Return the next step if nothing was begun.

    The plan is blocked, or not the one that was approved.
    """
    limit = plan.deletion_limit
    if limit and not limit.is_allowed and plan.is_reviewable:
        return f"Next: if that is meant, plan or apply with `--allow-destroy {limit.destroys}`."
    if plan.blocked:
        return f"Next: resolve what blocks it, then run `reconciler {verb}` again."
    return "Next: run `reconciler plan` again, and approve that plan."
