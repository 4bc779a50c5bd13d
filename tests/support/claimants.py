"""Claimants of a world's first task, for tests of what comes before a run's start."""

from typing import Any

from reconciler.invoke.claim_request import Claimant
from reconciler.invoke.pool_cache import KnownPool
from reconciler.model.spec import Spec
from tests.support.world import World


async def claimant_of(world: World, spec: Spec, **details: Any) -> Claimant:
    """Return a claimant that has listed the machines of the spec's first task."""
    [pool] = spec.tasks
    known = KnownPool(app=pool.app, pool=pool.name, stack=spec.stack)
    await known.refresh(world.context)
    options = {"start_timeout_s": 60.0, **details}
    return Claimant(context=world.context, stack=spec.stack, pool=pool, known=known, **options)
