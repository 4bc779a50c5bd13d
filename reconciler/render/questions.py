"""Word the questions before a change; each says where it would be made."""

from reconciler.model.counted import counted
from reconciler.model.plan import Plan
from reconciler.render.scope import scope_line


def apply_question(plan: Plan) -> str:
    """Return what is asked before an apply."""
    return f"{_where(plan)}\nApply this? Only yes is accepted:"


def release_question(plan: Plan) -> str:
    """Return what is asked before a release."""
    return f"{_where(plan)}\nRelease {counted(len(plan.effective), 'machine')}? Only yes is accepted:"


def destroy_question(plan: Plan) -> str:
    """Return what is asked before a destroy: the stack's name is to be typed."""
    counts = ((len(plan.effective), "machine"), (len(plan.app_deletions), "app"))
    removed = " and ".join(counted(count, noun) for count, noun in counts if count)
    return f"{_where(plan)}\nThis removes {removed}. Type the stack's name ({plan.stack}) to go on:"


def _where(plan: Plan) -> str:
    return scope_line(plan.scope) if plan.scope else f"Stack {plan.stack}"
