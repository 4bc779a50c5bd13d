"""Predict the state right after an apply of a spec, to compare specs offline."""

from datetime import datetime

from reconciler.model.machine import Machine, MachineState, Observed, ObservedApp
from reconciler.model.spec import Pool, PoolKind, Slot, Spec
from reconciler.planner.desired import desired_machine
from reconciler.slots.ownership_metadata import metadata_for_create


def observed_as_applied(spec: Spec, at: datetime) -> Observed:
    """Return a snapshot in which every slot of the spec exists, idle and as declared."""
    apps = {
        app.name: ObservedApp(
            name=app.name,
            exists=True,
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
        instance_id=slot.name,
        config=pool.config.with_metadata(metadata_for_create(desired, stack=spec.stack, attempt="")),
    )
