"""What an apply of one spec would change where another was applied. Offline."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Final

from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.plan import Plan
from reconciler.model.spec import Spec
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.expected_state import observed_as_applied

_NO_BRAKE: Final = 10_000


def diff(old: Spec, new: Spec, *, at: datetime, only: Collection[str] = ()) -> Plan:
    """Return the plan of `new` for machines that are as an apply of `old` leaves them. `at` is now."""
    observed = observed_as_applied(replace(old, stack=new.stack), at)
    missing = {app.name: ObservedApp(name=app.name, exists=False) for app in new.apps if app.name not in observed.apps}
    world = Observed(apps={**observed.apps, **missing}, at=observed.at)
    found = make_plan(new, world, only=only, allow_destroy=_NO_BRAKE)
    return replace(found, warnings=(*found.warnings, *_left_behind(old, new)), observed_at=None)


def _left_behind(old: Spec, new: Spec) -> list[str]:
    """Return warnings about what no plan of the new spec would touch any more."""
    warnings = []
    if old.stack and old.stack != new.stack:
        renamed = f"the stack's name changes from {old.stack} to {new.stack}"
        warnings.append(f"{renamed}: machines that carry the old one are not taken over")
    names = {app.name for app in new.apps}
    return warnings + [
        f"app {app.name} is no longer in the spec: its machines stay as they are;"
        " to remove them, leave it with `tasks: {}` and apply"
        for app in old.apps
        if app.name not in names and app.pools
    ]
