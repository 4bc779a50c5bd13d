"""Predict the state right after an apply of a spec, to compare specs offline."""

from datetime import datetime

from reconciler.canonical.digest import digest_of
from reconciler.model.machine import Machine, MachineState, Observed, ObservedApp
from reconciler.model.plan import Action, Change
from reconciler.model.spec import Pool, PoolKind, Slot, Spec
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
    change = Change(
        slot=slot,
        kind=pool.kind,
        action=Action.CREATE,
        reason="",
        desired=pool.config,
        desired_digest=digest_of(pool.config),
        anchor=anchor.name if anchor else None,
        terms=pool.terms.to_text() if pool.kind is PoolKind.TASK else None,
        is_protected=pool.is_protected,
    )
    return Machine(
        app=slot.app,
        id=slot.name,
        name=slot.name,
        state=MachineState.STOPPED if pool.kind is PoolKind.TASK else MachineState.STARTED,
        region=slot.region,
        instance_id=slot.name,
        config=pool.config.with_metadata(metadata_for_create(change, stack=spec.stack, attempt="")),
    )
