"""What someone else changed since the last apply, and the plan that puts it back."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from reconciler.machines_api.observe import observe_destroyed
from reconciler.model.machine import Observed
from reconciler.model.plan import Plan
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import Spec
from reconciler.operations.plan import observe_as_applied
from reconciler.operations.scope import scope_of
from reconciler.operations.selection import require_regions
from reconciler.operations.session import Session
from reconciler.planner.drift import apps_to_look_at, only_drift, with_drift, with_lost
from reconciler.planner.planner import plan as make_plan

_NO_LIMIT: Final = 10_000


async def drift(session: Session, spec: Spec, *, selection: Selection = WHOLE) -> Plan:
    """Return what differs from what was last applied. Raises ApiError.

    Machines that were destroyed are included.
    """
    pinned = await observe_as_applied(session, spec)
    observed = pinned.observed
    require_regions(spec, selection, observed)
    found = make_plan(pinned.spec, observed, selection=selection, allow_destroy=_NO_LIMIT)
    destroyed = await observe_destroyed(session.context.client, apps_to_look_at(found))
    found = replace(with_drift(with_lost(found, destroyed)), scope=scope_of(spec, session.target))
    # A name that is taken blocks an apply; it hides no drift of other machines. What was not observed does.
    unobserved = tuple(app for app in observed.apps.values() if app.unobserved)
    return found if unobserved else replace(found, blocked=(), warnings=(*found.warnings, *found.blocked))


async def drift_planner(
    session: Session, whole: Callable[[Observed], Plan], observed: Observed
) -> Callable[[Observed], Plan]:
    """Return a function that plans as `whole` does, but keeps only changes of drift.

    These put back what someone else changed. Raises ApiError.
    """
    destroyed = await observe_destroyed(session.context.client, apps_to_look_at(whole(observed)))
    return lambda seen: only_drift(with_lost(whole(seen), destroyed))
