"""What an apply of one spec would change where another was applied. Offline.

The other one's snapshot is made up: every slot exists, idle and as declared.
"""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from reconciler.model.ip_address import IpAddress
from reconciler.model.machine import Machine, MachineState, Observed, ObservedApp
from reconciler.model.plan import Plan
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import Pool, PoolKind, Slot, Spec
from reconciler.operations.scope import scope_of
from reconciler.operations.selection import require_regions
from reconciler.planner.desired import desired_machine
from reconciler.planner.ip_addresses import kinds_of_new
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.ownership_metadata import metadata_for_create

_NO_LIMIT: Final = 10_000


def diff(old: Spec, new: Spec, *, at: datetime, selection: Selection = WHOLE) -> Plan:
    """Return what an apply of `new` would change after one of `old`. `at` is now."""
    observed = _observed_as_applied(replace(old, stack=new.stack), at)
    missing = {app.name: ObservedApp(name=app.name, exists=False) for app in new.apps if app.name not in observed.apps}
    require_regions(new, selection, observed)
    world = Observed(apps={**observed.apps, **missing}, at=observed.at)
    found = make_plan(new, world, selection=selection, allow_destroy=_NO_LIMIT)
    # What an apply leaves beside configs depends on marks, and these machines are made up.
    return replace(
        found,
        bookkeeping=(),
        foreign_ips=(),
        warnings=(*found.warnings, *_left_behind(old, new)),
        observed_at=None,
        deletion_limit=None,
        scope=scope_of(new, None, before=old.file),
    )


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


def _observed_as_applied(spec: Spec, at: datetime) -> Observed:
    """Return a snapshot in which every slot of the spec exists, idle and as declared."""
    apps = {
        app.name: ObservedApp(
            name=app.name,
            exists=True,
            ip_addresses=tuple(IpAddress(ip="", kind=kind) for kind in kinds_of_new(app)),
            machines=tuple(_machine(spec, pool, slot) for pool in app.pools for slot in pool.slots),
        )
        for app in spec.apps
    }
    return Observed(apps=apps, at=at)


def _machine(spec: Spec, pool: Pool, slot: Slot) -> Machine:
    anchor = pool.anchor
    desired = desired_machine(pool, slot, anchor=anchor.name if anchor else None)
    return Machine(
        app=slot.app,
        id=slot.name,
        name=slot.name,
        state=MachineState.STOPPED if pool.kind is PoolKind.TASK else MachineState.STARTED,
        region=slot.region,
        version=slot.name,
        config=pool.config.with_metadata(metadata_for_create(desired, stack=spec.stack, attempt="")),
    )
