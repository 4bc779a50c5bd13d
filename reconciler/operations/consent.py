"""What an apply is allowed to do, as a value.

That is: what was reviewed before, and what was allowed beyond ordinary changes.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.model.approval import Approval
from reconciler.model.plan import Plan

if TYPE_CHECKING:
    from reconciler.model.plan import SavedPlan
    from reconciler.planner.approved import ApprovedSet

_AS_APPROVED = 10_000_000  # the set of changes says what may be destroyed


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What is agreed to.

    `saved` is a reviewed plan; `approvals` are plans that were approved otherwise. If there is one of them, nothing
    else is applied; several approvals are one, their union. `planned` is the plan that the approval is of, if it is at
    hand. `allow_destroy` allows the loss of that many machines, `allow_rollback` an older revision. `adopt` takes over
    unmarked machines that have a slot's name.
    """

    saved: "SavedPlan | None" = None
    approvals: tuple[Approval, ...] = ()
    planned: Plan | None = None
    allow_destroy: int | None = None
    allow_rollback: bool = False
    adopt: bool = False

    @property
    def is_reviewed(self) -> bool:
        """Return whether only what was reviewed is agreed to.

        Then nobody need be asked.
        """
        return bool(self.saved or self.approvals)

    @property
    def sha256(self) -> str | None:
        """Return the hash of what was reviewed, if anything was."""
        from reconciler.canonical.change_hashes import set_sha256

        if self.saved:
            return self.saved.plan_sha256
        if len(self.approvals) <= 1:
            return self.approvals[0].plan_sha256 if self.approvals else None
        return set_sha256(one for approval in self.approvals for one in approval.changes or ())

    @property
    def destroys_as_approved(self) -> int | None:
        """Return how many machines a plan may destroy.

        A set of changes says which ones. With the hash of a plan alone, the number must be given again.
        """
        if self.saved:
            return self.saved.allow_destroy
        if self.allow_destroy is None and any(one.changes is not None for one in self.approvals):
            return _AS_APPROVED
        return self.allow_destroy

    def approved(self, plan: Plan) -> "ApprovedSet":
        """Return the set of changes that was approved.

        If only the hash of a plan was, it is the set of the plan as it is made now, if that has the hash.
        """
        from reconciler.planner.approved import ApprovedSet, early_set

        if saved := self.saved:
            planned = {change.address: change for change in saved.plan.effective}
            is_early = saved.change_hashes is None
            hashes = early_set(saved.plan) if saved.change_hashes is None else saved.change_hashes
            return ApprovedSet(hashes=hashes, is_of_early_version=is_early, planned=planned)
        found = frozenset[str]()
        for one in self.approvals:
            found |= _set_of(one.plan_sha256, plan) if one.changes is None else one.changes
        at_hand = {change.address: change for change in self.planned.effective} if self.planned else None
        return ApprovedSet(hashes=found, planned=at_hand)

    def objections_to(self, plan: Plan) -> tuple[str, ...]:
        """Return what is due and was not approved; nothing without a review."""
        from reconciler.planner.approved import due_words, not_approved

        if not self.is_reviewed or not plan.has_changes:
            return ()
        approved = self.approved(plan)
        found = not_approved(plan, approved)
        if not found or self.saved or all(one.changes is not None for one in self.approvals) or approved.hashes:
            return found
        without = replace(plan, deletion_limit=None)
        if plan.deletion_limit and any(_set_of(one.plan_sha256, without) for one in self.approvals):
            return (f"the plan {plan.deletion_limit.words}, and it was approved without that",)
        hashes = ", ".join(one.plan_sha256 for one in self.approvals)
        return (f"what is due is not, or not all of, the plan that was approved ({hashes})", *due_words(plan))


def _set_of(plan_sha256: str, plan: Plan) -> frozenset[str]:
    """Return the set of the plan's changes if it has the hash, else nothing.

    The hash may be one that an earlier version made.
    """
    from reconciler.canonical.change_hashes import change_hashes, set_sha256
    from reconciler.planner.hashes import early_plan_sha256

    changes = change_hashes(plan)
    has_hash = plan_sha256 == set_sha256(changes) or plan_sha256 == early_plan_sha256(plan)
    return frozenset(changes) if has_hash else frozenset()
