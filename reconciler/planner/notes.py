"""Plan what is noted of a reviewed plan, and on which machine first. Pure.

Each write of a config carries the hashes of its own change. What leaves no machine behind is noted before the first
write, on a machine that the plan leaves standing; so is the revision before anything is destroyed.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from reconciler.canonical.change_hashes import hash_of_allocation, hash_of_creation, hashes_of
from reconciler.model.change import Action, Change
from reconciler.model.machine import Machine, Observed
from reconciler.model.plan import Plan
from reconciler.model.plan_notes import PlanNotes, noted_in, plan_mark
from reconciler.planner.approved import ApprovedSet
from reconciler.planner.holders import owned_in, takes_marks

_GOING = frozenset({Action.DESTROY, Action.REPLACE})
_CARRYING = frozenset({Action.CREATE, Action.UPDATE, Action.ADOPT})


def notes_of(plan: Plan, approved: ApprovedSet, plan_sha256: str, observed: Observed) -> PlanNotes:
    """Return the notes of what is due of an approved plan.

    What an earlier apply of it has noted on a machine that goes now is noted again.
    """
    own: dict[str, tuple[str, ...]] = {}
    name = plan_mark(plan_sha256)
    lasting = {one for machine in _going(plan, observed) for one in noted_in(name, machine.metadata)}
    lasting &= approved.hashes
    lasting |= {hash_of_creation(plan.stack, app) for app in plan.apps}
    lasting |= {hash_of_allocation(plan.stack, one) for one in plan.allocations}
    for change in plan.effective:
        hashes = _hashes_in(approved.hashes, plan, change)
        if change.action in _CARRYING:
            own[change.address] = hashes
        else:
            lasting.update(hashes)
    return PlanNotes(plan=name, own=own, lasting=frozenset(lasting))


def _going(plan: Plan, observed: Observed) -> list[Machine]:
    going = {one.machine_id for one in plan.effective if one.action in _GOING}
    return [machine for machine in observed.machines if machine.id in going]


def _hashes_in(approved: frozenset[str], plan: Plan, change: Change) -> tuple[str, ...]:
    """Return the hashes of the change as it was approved, maybe with its allowance."""
    allowed = hashes_of(plan.stack, change, is_allowed=True)
    return allowed if approved.issuperset(allowed) else hashes_of(plan.stack, change)


def destroys(plan: Plan) -> bool:
    """Return whether the plan destroys a machine now."""
    return any(change.action in _GOING and not change.deferred for change in plan.effective)


def standing(plan: Plan, observed: Observed) -> list[Machine]:
    """Return the stack's machines that the plan leaves standing and that take marks.

    By name. Those that an update gives checks are left out.
    """
    going = {one.machine_id for one in plan.effective if one.action in _GOING and not one.deferred}
    changed = _configs(plan.effective)
    found = [
        machine
        for app in observed.apps.values()
        for machine in owned_in(app, plan.stack)
        if machine.id not in going and takes_marks(machine.config) and changed.get(machine.id, True)
    ]
    return sorted(found, key=lambda machine: (machine.name, machine.app))


def last_to_go(plan: Plan, observed: Observed) -> Change | None:
    """Return the change whose machine holds the notes if no other is left standing.

    It goes after all others, one that is destroyed rather than one that is replaced. None if others must come after it.
    """
    owned = {machine.id: machine for app in observed.apps.values() for machine in owned_in(app, plan.stack)}
    needed = {address for change in plan.effective for address in change.depends_on}
    able = [
        change
        for change in plan.effective
        if change.action in _GOING and not change.deferred and change.address not in needed
        if change.machine_id in owned and takes_marks(owned[change.machine_id].config)
    ]
    return min(
        able, key=lambda change: (change.action is Action.REPLACE, change.slot.name, change.slot.app), default=None
    )


def with_last(changes: Sequence[Change], last: str | None) -> tuple[Change, ...]:
    """Return the changes, with the one of this address after all others."""
    others = tuple(change.address for change in changes if change.address != last)
    return tuple(replace(change, depends_on=others) if change.address == last else change for change in changes)


def _configs(changes: Iterable[Change]) -> Mapping[str, bool]:
    """Return whether each machine that is changed takes marks afterwards, by its id."""
    return {
        change.machine_id: takes_marks(change.desired.config)
        for change in changes
        if change.machine_id and change.desired
    }
