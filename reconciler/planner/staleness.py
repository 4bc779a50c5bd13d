"""Find what has moved between a saved plan and the same plan made now. Pure."""

from reconciler.model.plan import Change, Plan
from reconciler.model.saved_plan import SavedPlan
from reconciler.planner.hashes import plan_sha256


def moved(saved: SavedPlan, now: Plan) -> tuple[str, ...]:
    """Say why the saved plan must not be applied any more, a line for each slot.

    There is none if all is as it was planned.
    """
    before = {change.address: change for change in saved.plan.effective}
    after = {change.address: change for change in now.effective}
    if plan_sha256(now) == saved.plan_sha256:
        # Same hash, so nothing has moved; what the file shows must be what the hash is of.
        is_whole = before.keys() == after.keys() and not any(
            _difference(before[address], after[address]) for address in before
        )
        return () if is_whole else ("the file does not show the changes that its hash is of",)
    lines = [_difference(before.get(address), after.get(address)) for address in sorted({*before, *after})]
    gone = {app.name for app in saved.plan.apps} ^ {app.name for app in now.apps}
    lines += [f"app {name}: whether it exists is no longer as it was" for name in sorted(gone)]
    return tuple(line for line in lines if line) or ("the plan is another one now",)


def _difference(planned: Change | None, now: Change | None) -> str:
    if planned is None:
        assert now is not None
        return f"{now.address}: {now.action.value} is needed now, which was not planned ({now.reason})"
    if now is None:
        return f"{planned.address}: {planned.action.value} was planned, and nothing is needed any more"
    address = planned.address
    if planned.action is not now.action:
        return f"{address}: {planned.action.value} was planned, and it would be {now.action.value} now ({now.reason})"
    if planned.settings != now.settings:
        return f"{address}: other settings were planned than would be changed now ({now.reason})"
    if planned.machine_id != now.machine_id:
        return f"{address}: planned for machine {planned.machine_id}, and it is {now.machine_id} now"
    if planned.expected.applied != now.expected.applied:
        return f"{address}: another apply has changed machine {now.machine_id}"
    if planned.expected.digest != now.expected.digest:
        return f"{address}: machine {now.machine_id} was changed by someone else ({now.reason})"
    if planned.desired_digest != now.desired_digest:
        return f"{address}: the spec wants something else now"
    return ""
