"""Take a snapshot of a stack's apps, to plan from it and to apply that plan."""

from collections.abc import Collection

from reconciler.machines_api.observe import observe
from reconciler.model.machine import Observed
from reconciler.model.spec import Spec
from reconciler.planner.needs import needs_of
from reconciler.slots.context import Context


async def observe_stack(context: Context, spec: Spec, *, apps: Collection[str] | None = None) -> Observed:
    """Return a snapshot of the spec's apps, or of those named in `apps`.

    Of other machines than the stack's it holds only what a plan reads. Raises ApiError.
    """
    return await observe(
        context.client,
        [app.name for app in spec.apps if apps is None or app.name in apps],
        clock=context.clock,
        with_addresses=spec.apps_with_addresses,
        reduce=needs_of(spec, keeps_marks=True),
    )
