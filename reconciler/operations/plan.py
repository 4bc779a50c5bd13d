"""Observe a target with the spec's images pinned, and plan.

The plan is made from a whole snapshot, or app by app as they are read.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from msgspec import Struct
from msgspec.structs import replace

from reconciler.machines_api.observe import observe_each
from reconciler.machines_api.regions import check_regions, check_room
from reconciler.model.change import Action, Change
from reconciler.model.machine import Observed, ObservedApp, ShownLease
from reconciler.model.plan import Plan
from reconciler.model.revision import Revision
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import App, Spec
from reconciler.operations.images import ImagePolicy, LookedUp, look_up
from reconciler.operations.scope import scope_of
from reconciler.operations.selection import check_regions_known, require_regions
from reconciler.operations.session import Session
from reconciler.planner.desired import with_applied_digests, with_applied_digests_of
from reconciler.planner.holders import owned_in
from reconciler.planner.needs import needs_of
from reconciler.planner.planner import Planner
from reconciler.slots.lease_description import lock_words
from reconciler.slots.snapshot import observe_stack


class Pinned(Struct, frozen=True, kw_only=True):
    """A snapshot, and the spec with the digests that the plan is made with.

    `looked_up` is what was found of its images.
    """

    spec: Spec
    observed: Observed
    looked_up: LookedUp


async def plan(
    session: Session,
    spec: Spec,
    *,
    images: ImagePolicy,
    selection: Selection = WHOLE,
    allow_destroy: int | None = None,
    revision: Revision | None = None,
    allow_rollback: bool = True,
    adopt: bool = False,
    prune_clones: bool = False,
) -> tuple[Plan, LookedUp]:
    """Return the plan of the target as it is now, and what was found of its images.

    No snapshot is kept. By default an older revision is planned with a warning; only its apply is refused. Raises
    ApiError, RegistryError, BuildError, SpecError.
    """
    context = session.context
    planner = Planner(
        spec.stack,
        selection=selection,
        allow_destroy=allow_destroy,
        revision=revision,
        allow_rollback=allow_rollback,
        adopt=adopt,
        prune_clones=prune_clones,
    )
    at = context.clock.now()
    pinned: dict[str, App] = {}
    regions: set[str] = set()  # of all machines that were seen
    own_regions: set[str] = set()
    locks: dict[str, ShownLease] = {}
    there: Counter[tuple[str, str]] = Counter()
    absent: set[str] = set()
    names = [app.name for app in spec.apps]

    async with _looking_up(session, spec, images, selection=selection) as looking:

        async def take(observed: ObservedApp) -> None:
            regions.update(machine.region for machine in observed.machines)
            own_regions.update(machine.region for machine in owned_in(observed, spec.stack))
            locks.update(locks_of(observed))
            there.update(machines_in(observed))
            if not observed.exists:
                absent.add(observed.name)
            looked_up = await asyncio.shield(looking)
            if not pinned:
                pinned.update({app.name: app for app in looked_up.spec.apps})
            app = with_applied_digests_of(pinned[observed.name], observed, stack=spec.stack, unsure=looked_up.unsure)
            planner.add(app, observed, at)

        addresses = spec.apps_with_addresses
        await observe_each(context.client, names, take, with_addresses=addresses, reduce=needs_of(spec))
        check_regions_known(spec, selection, own_regions)
        unlisted = await check_regions(context.client, spec, regions, selection=selection)
        looked_up = await looking
    warnings = (*spec.warnings, *unlisted, *looked_up.warnings_without(absent))
    planned = planner.plan(names, observed_at=at, warnings=warnings)
    planned = replace(planned, scope=scope_of(spec, session.target))
    return await with_room(session, spec, with_locks(planned, locks), there), looked_up


def machines_in(observed: ObservedApp) -> Counter[tuple[str, str]]:
    """Count the machines of an app by app and region."""
    return Counter((observed.name, machine.region) for machine in observed.machines if not machine.state.is_gone)


async def with_room(session: Session, spec: Spec, plan: Plan, there: Mapping[tuple[str, str], int]) -> Plan:
    """Return the plan with a warning for each region without room for its creates.

    The target is asked only where there are creates. A server that knows no such question is no warning.
    """
    orgs = {app.name: app.org for app in spec.apps}
    due = Counter((orgs[change.slot.app], change.slot.region) for change in plan.effective if _is_creation(change))
    if not due or plan.blocked:
        return plan
    for (app, region), count in there.items():
        if (orgs[app], region) in due:
            due[orgs[app], region] += count
    gone = Counter((orgs[one.slot.app], one.slot.region) for one in plan.effective if one.action is Action.DESTROY)
    needed: dict[str, dict[str, int]] = {}
    for (org, region), count in due.items():
        needed.setdefault(org, {})[region] = count - gone[org, region]
    return replace(plan, warnings=(*plan.warnings, *await check_room(session.context.client, needed)))


def _is_creation(change: Change) -> bool:
    return change.action is Action.CREATE and not change.deferred


def locks_of(observed: ObservedApp) -> Mapping[str, ShownLease]:
    """Return the leases that the list shows, by the ids of their machines."""
    return {machine.id: machine.lease for machine in observed.machines if machine.lease}


def with_locks(plan: Plan, locks: Mapping[str, ShownLease]) -> Plan:
    """Return the plan with a warning for each change whose machine is leased."""
    said = (
        f"{change.address} is {lock_words(lease, now=plan.observed_at)}"
        for change in plan.effective
        if (lease := locks.get(change.machine_id or ""))
    )
    return replace(plan, warnings=(*plan.warnings, *said))


async def observe_pinned(session: Session, spec: Spec, images: ImagePolicy, *, selection: Selection = WHOLE) -> Pinned:
    """Take a snapshot, and look the tags up meanwhile.

    Raises ApiError, RegistryError, BuildError, SpecError.
    """
    async with _looking_up(session, spec, images, selection=selection) as looking:
        observed = await observe_stack(session.context, spec)
        require_regions(spec, selection, observed)
        seen = {machine.region for machine in observed.machines}
        unlisted = await check_regions(session.context.client, spec, seen, selection=selection)
        looked_up = await looking
    return pinned_to(observed, looked_up, warnings=unlisted)


@asynccontextmanager
async def _looking_up(
    session: Session, spec: Spec, images: ImagePolicy, *, selection: Selection
) -> AsyncIterator[asyncio.Task[LookedUp]]:
    """Look up the images' tags during the block. If the block fails, stop looking."""
    looking = asyncio.create_task(look_up(session, spec, images, selection=selection))
    try:
        yield looking
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)  # a build has ended; a second error is not told


async def observe_as_applied(session: Session, spec: Spec) -> Pinned:
    """Take a snapshot, and pin the spec to the digests that were applied.

    No registry is asked. Raises ApiError.
    """
    return pinned_to(await observe_stack(session.context, spec), LookedUp(spec=spec))


def pinned_to(observed: Observed, looked_up: LookedUp, *, warnings: tuple[str, ...] = ()) -> Pinned:
    """Return the spec of what was looked up, pinned for this snapshot."""
    spec = with_applied_digests(looked_up.spec, observed, unsure=looked_up.unsure)
    absent = {app.name for app in observed.apps.values() if not app.exists}
    said = (*spec.warnings, *warnings, *looked_up.warnings_without(absent))
    return Pinned(spec=replace(spec, warnings=said), observed=observed, looked_up=looked_up)
