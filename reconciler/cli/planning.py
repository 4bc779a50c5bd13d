"""A plan of the target as it is now, app by app as they are seen, while the tags of the spec's images are looked up."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.cli.images import Imaging, look_up
from reconciler.cli.ui.options import Shared
from reconciler.machines_api.observe import observe_each
from reconciler.machines_api.regions import check_regions
from reconciler.model.machine import ObservedApp
from reconciler.model.plan import Plan
from reconciler.model.spec import App, Spec
from reconciler.planner.images import with_applied_digests_of, with_digests
from reconciler.planner.planner import Planner

if TYPE_CHECKING:
    from reconciler.slots.context import Context
    from reconciler.targets import Target


async def plan_pinned(
    context: "Context", spec: Spec, options: Shared, target: "Target", imaging: Imaging, planner: Planner
) -> tuple[Plan, Mapping[str, str]]:
    """Return the plan, and the digests that were looked up; no snapshot is kept.

    Raises ApiError, RegistryError, BuildError, SpecError.
    """
    at = context.clock.now()
    looking = asyncio.create_task(look_up(spec, options, target, imaging))
    pinned: dict[str, App] = {}
    regions: set[str] = set()  # of all machines that were seen
    names = [app.name for app in spec.apps]

    async def take(observed: ObservedApp) -> None:
        regions.update(machine.region for machine in observed.machines)
        if not pinned:
            digests, _warnings = await asyncio.shield(looking)
            pinned.update({app.name: app for app in with_digests(spec, digests).apps})
        app = with_applied_digests_of(pinned[observed.name], observed, stack=spec.stack)
        planner.add(app, observed, at)

    try:
        await observe_each(context.client, names, take)
        unlisted = await check_regions(context.client, spec, regions, only=options.only)
        digests, warnings = await looking
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)  # a build has ended; a second error is not told
    return planner.plan(names, observed_at=at, warnings=(*spec.warnings, *unlisted, *warnings)), digests
