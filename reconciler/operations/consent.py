"""What an apply is allowed to do, as a value.

That is: what was reviewed before, and what was allowed beyond ordinary changes.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.model.plan import Plan

if TYPE_CHECKING:
    from reconciler.model.plan import SavedPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What is agreed to. `saved` is a reviewed plan, `expected` the hash of one.

    If one of them is given, nothing else is applied. `allow_destroy` allows the loss of that many machines,
    `allow_rollback` an older revision. `adopt` takes over unmarked machines that have a slot's name.
    """

    saved: "SavedPlan | None" = None
    expected: str | None = None
    allow_destroy: int | None = None
    allow_rollback: bool = False
    adopt: bool = False

    @property
    def is_reviewed(self) -> bool:
        """Return whether exactly one plan is agreed to, so that nobody need be asked."""
        return bool(self.saved or self.expected)

    @property
    def sha256(self) -> str | None:
        """Return the hash of the plan that was reviewed, if one was."""
        return self.saved.plan_sha256 if self.saved else self.expected

    def objections_to(self, plan: Plan, applied: str | None) -> tuple[str, ...]:
        """Return why the plan is not the reviewed one; nothing if it is, or if none was.

        `applied` is the hash of the plan that was applied last.
        """
        from reconciler.operations.saved_plans import objections
        from reconciler.planner.hashes import plan_sha256

        if self.saved:
            return objections(self.saved, plan, applied)
        if self.expected and (found := plan_sha256(plan)) != self.expected:
            if plan.deletion_limit and plan_sha256(replace(plan, deletion_limit=None)) == self.expected:
                return (f"the plan {plan.deletion_limit.words}, and it was approved without that",)
            return (f"the plan is {found} now, and {self.expected} was approved",)
        return ()
