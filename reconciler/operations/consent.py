"""What an apply is allowed to do, as a value.

That is: what was reviewed before, and what was allowed beyond ordinary changes.
"""

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from reconciler.model.approval import Approval
from reconciler.model.machine import Observed
from reconciler.model.plan import Plan
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.model.plan import SavedPlan
    from reconciler.planner.approved import ApprovedSet

_AS_APPROVED = 10_000_000  # the set of changes says what may be destroyed


class Consent(Struct, frozen=True, kw_only=True):
    """What is agreed to.

    `saved` is a reviewed plan; `approvals` are plans that were approved otherwise. If there is one of them, nothing
    else is applied; several approvals are one, their union. `planned` is the plan that the approval is of, if it is at
    hand. `allow_destroy` allows the loss of that many machines, `allow_rollback` an older revision. `adopt` takes over
    unmarked machines that have a slot's name, `prune_clones` destroys clones made by hand.
    """

    saved: "SavedPlan | None" = None
    approvals: tuple[Approval, ...] = ()
    planned: Plan | None = None
    allow_destroy: int | None = None
    allow_rollback: bool = False
    adopt: bool = False
    prune_clones: bool = False

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

    def approved(self, plan: Plan, spec: Spec, observed: Observed) -> "ApprovedSet":
        """Return the set of changes that was approved.

        If only the hash of a plan was, the set is rebuilt from the plan made now, and from what was done of it.
        """
        from reconciler.planner.approved import ApprovedSet, early_set
        from reconciler.planner.rebuilt import rebuilt_set

        if saved := self.saved:
            planned = {change.address: change for change in saved.plan.effective}
            is_early = saved.change_hashes is None
            hashes = early_set(saved.plan) if saved.change_hashes is None else saved.change_hashes
            return ApprovedSet(hashes=hashes, is_of_early_version=is_early, planned=planned)
        found = frozenset[str]()
        for one in self.approvals:
            known = one.changes
            found |= rebuilt_set(one.plan_sha256, plan, spec, observed) if known is None else known
        at_hand = {change.address: change for change in self.planned.effective} if self.planned else None
        return ApprovedSet(hashes=found, planned=at_hand)

    def objections_to(self, plan: Plan, approved: "ApprovedSet | None") -> tuple[str, ...]:
        """Return what is due and was not approved; nothing without a review."""
        from reconciler.planner.approved import due_words, not_approved

        if approved is None or not plan.has_changes:
            return ()
        found = not_approved(plan, approved)
        if not found or self.saved or all(one.changes is not None for one in self.approvals) or approved.hashes:
            return found
        without = replace(plan, deletion_limit=None)
        if plan.deletion_limit and any(_has_hash(one.plan_sha256, without) for one in self.approvals):
            return (f"the plan {plan.deletion_limit.words}, and it was approved without that",)
        hashes = ", ".join(one.plan_sha256 for one in self.approvals)
        return (
            f"the hash alone does not show that what is due now is part of the plan that was approved ({hashes}):"
            " pass the plan's file or the set of its changes, or plan again",
            *due_words(plan),
        )


def _has_hash(plan_sha256: str, plan: Plan) -> bool:
    """Return whether the plan has the hash, in today's form or an earlier one."""
    from reconciler.planner.hashes import early_plan_sha256
    from reconciler.planner.hashes import plan_sha256 as hash_of

    return plan_sha256 in {hash_of(plan), early_plan_sha256(plan)}
