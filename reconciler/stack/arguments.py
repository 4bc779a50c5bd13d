"""Check what a program passes to a stack, before any call is made.

A plan of the wrong type must not become an apply that nobody reviewed.
"""

import re
from typing import Any, Final

from reconciler.model.plan import Plan
from reconciler.model.saved_plan import SavedPlan
from reconciler.planner.hashes import plan_sha256

_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")


def expected_hash(plan: Any) -> str | None:
    """Return the hash of the plan that was reviewed; None without one, and for a saved plan, which brings its own.

    Raises TypeError for what is no plan, and ValueError for a string that is no hash.
    """
    match plan:
        case None | SavedPlan():
            return None
        case Plan():
            return plan_sha256(plan)
        case str() if _HASH.fullmatch(plan):
            return plan
        case str():
            raise ValueError(f"plan is {plan!r}, and no hash of a plan (sha256:…); for a file use read_plan")
        case _:
            raise TypeError(
                f"plan must be a Plan, a SavedPlan, the hash of a plan, or None, not {type(plan).__name__};"
                " for a file use read_plan"
            )
