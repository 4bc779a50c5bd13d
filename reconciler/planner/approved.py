"""Judge whether what is due now was approved. Pure.

An apply under an approval is allowed exactly if every change that is due now is in the approved set. What is done is
not due (docs/explanation/protocols.md, section 4).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from reconciler.canonical.change_hashes import hash_of_allocation, hash_of_creation, hashes_of, is_loss
from reconciler.model.change import Change
from reconciler.model.plan import AppCreation, IpAllocation, Plan

_SHOWN: Final = 20


class ApprovedSet(Struct, frozen=True, kw_only=True):
    """The hashes of the changes that were approved.

    `is_of_early_version` says that they are of a saved plan that has no set: its hashes were made of what the file
    shows, without the pool's settings, which the spec's hash in the file binds instead. `planned` are the changes by
    address, if they are at hand.
    """

    hashes: frozenset[str]
    is_of_early_version: bool = False
    planned: Mapping[str, Change] | None = None

    def holds(self, plan: Plan, change: Change) -> bool:
        """Return whether the change, due in this plan, was approved.

        A destroy of a plan above the deletion limit must have been approved with its allowance.
        """
        if self.is_of_early_version:
            return self.hashes.issuperset(early_hashes_of(plan.stack, change))
        allowed = self.hashes.issuperset(hashes_of(plan.stack, change, is_allowed=True))
        is_above = plan.deletion_limit is not None and is_loss(change)
        return allowed or (not is_above and self.hashes.issuperset(hashes_of(plan.stack, change)))

    def holds_app(self, plan: Plan, app: AppCreation) -> bool:
        return hash_of_creation(plan.stack, app) in self.hashes

    def holds_address(self, plan: Plan, one: IpAllocation) -> bool:
        return hash_of_allocation(plan.stack, one) in self.hashes


def early_hashes_of(stack: str, change: Change) -> tuple[str, ...]:
    """Return the hashes of the change as a file of an early version can tell them."""
    return hashes_of(stack, change, target=change.desired.digest if change.desired else "")


def early_set(plan: Plan) -> frozenset[str]:
    """Return the set of a plan that was saved by an early version."""
    found = {hash_of_creation(plan.stack, app) for app in plan.apps}
    found |= {hash_of_allocation(plan.stack, one) for one in plan.allocations}
    for change in plan.effective:
        found.update(early_hashes_of(plan.stack, change))
    return frozenset(found)


def within(plan: Plan, approved: ApprovedSet) -> Plan:
    """Return what of the plan was approved.

    A later round of an apply does nothing else.
    """
    return replace(
        plan,
        apps=tuple(app for app in plan.apps if approved.holds_app(plan, app)),
        changes=tuple(one for one in plan.changes if not one.is_effective or approved.holds(plan, one)),
        allocations=tuple(one for one in plan.allocations if approved.holds_address(plan, one)),
    )


def lacks_allowance(plan: Plan, approved: ApprovedSet) -> bool:
    """Return whether what destroys too much was approved without the allowance."""
    if plan.deletion_limit is None or approved.is_of_early_version:
        return False
    without = replace(plan, deletion_limit=None)
    return any(approved.holds(without, one) and not approved.holds(plan, one) for one in plan.effective)


def without_allowance(plan: Plan) -> Plan:
    """Return a plan above the deletion limit without its allowance: blocked."""
    if plan.deletion_limit is None or not plan.deletion_limit.is_allowed:
        return plan
    limit = replace(plan.deletion_limit, is_allowed=False)
    return replace(plan, deletion_limit=limit, blocked=(*plan.blocked, limit.words))


def not_approved(plan: Plan, approved: ApprovedSet) -> tuple[str, ...]:
    """Say what is due and was not approved, a line for each; empty if all was."""
    lines = [
        f"app {one.name}: it is to be created, which was not approved"
        for one in plan.apps
        if not approved.holds_app(plan, one)
    ]
    lines += [
        f"app {one.app}: address {one.kind} is to be allocated, which was not approved"
        for one in plan.allocations
        if not approved.holds_address(plan, one)
    ]
    planned = approved.planned or {}
    lines += [_difference(planned.get(one.address), one) for one in plan.effective if not approved.holds(plan, one)]
    return _shortened(lines)


def due_words(plan: Plan) -> tuple[str, ...]:
    """Say what is due, a line for each change."""
    lines = [f"app {one.name}: its creation is due" for one in plan.apps]
    lines += [f"app {one.app}: the allocation of address {one.kind} is due" for one in plan.allocations]
    return _shortened(lines + [f"{one.address}: {one.action.value} is due ({one.reason})" for one in plan.effective])


def _shortened(lines: Iterable[str]) -> tuple[str, ...]:
    lines = list(lines)
    more = len(lines) - _SHOWN
    return (*lines[:_SHOWN], f"and {more} more") if more > 0 else tuple(lines)


def _difference(planned: Change | None, now: Change) -> str:
    """Say how what is due differs from what was planned for the slot."""
    address = now.address
    if planned is None:
        return f"{address}: {now.action.value} is due now, which was not approved ({now.reason})"
    if planned.action is not now.action:
        return f"{address}: {planned.action.value} was approved, and it would be {now.action.value} now ({now.reason})"
    if planned.settings != now.settings:
        return f"{address}: other settings were approved than would be changed now ({now.reason})"
    if planned.machine_id != now.machine_id:
        return f"{address}: approved for machine {planned.machine_id}, and it is {now.machine_id} now ({now.reason})"
    if planned.expected.applied != now.expected.applied:
        return f"{address}: another apply has changed machine {now.machine_id} ({now.reason})"
    if planned.expected.digest != now.expected.digest:
        return f"{address}: machine {now.machine_id} was changed by someone else ({now.reason})"
    return f"{address}: the spec wants something else now ({now.reason})"
