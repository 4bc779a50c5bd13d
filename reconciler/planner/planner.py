"""The plan: for each slot of the spec and each machine of ours without a slot, what happens and why. Pure.

The result does not depend on the order in which machines were listed.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from reconciler.model import marks
from reconciler.model.machine import Machine, Observed, ObservedApp
from reconciler.model.plan import Action, AppCreation, Cause, Change, FieldChange, ForeignMachine, Plan
from reconciler.model.revision import Revision
from reconciler.model.spec import App, Pool, PoolKind, Slot, Spec
from reconciler.planner.anchors import anchor_of, heir_of
from reconciler.planner.brakes import brakes, newer_revision
from reconciler.planner.diff import Differ
from reconciler.planner.digest import digest_of, live_digest
from reconciler.planner.images import has_moved
from reconciler.planner.normalize import Canonical, canonical
from reconciler.planner.order import with_edges
from reconciler.planner.pair import Paired, pair
from reconciler.planner.rules import Situation, decide, deferral


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What the plan is asked for."""

    stack: str
    only: frozenset[str]
    adopt: bool


@dataclass(slots=True)
class _Draft:
    apps: list[AppCreation] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    foreign: list[ForeignMachine] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    empty_apps: set[str] = field(default_factory=set)
    owned: list[Machine] = field(default_factory=list)


def plan(
    spec: Spec,
    observed: Observed,
    *,
    only: Collection[str] = (),
    allow_destroy: int | None = None,
    revision: Revision | None = None,
    allow_rollback: bool = False,
    adopt: bool = False,
) -> Plan:
    """Every change between the spec and the snapshot.

    `only` restricts it to the pools of these names. `allow_destroy` lets a plan pass the brake on mass deletion that
    destroys or replaces at most so many machines. Where a newer `revision` was applied the plan is blocked, unless
    `allow_rollback`. With `adopt`, unmarked machines that have a slot's name are taken over.
    """
    draft = _Draft(warnings=[*spec.warnings, *observed.warnings])
    request = _Request(stack=spec.stack, only=frozenset(only), adopt=adopt)
    differ = Differ()
    for app in spec.apps:
        _plan_app(draft, app, observed.apps[app.name], differ, request)
    if only:
        draft.warnings.append(f"a partial plan: only {', '.join(sorted(only))}; the rest was not compared")
    draft.blocked += brakes(draft.changes, draft.owned, allow_destroy)
    if newer := newer_revision(draft.owned, revision):
        if allow_rollback:
            draft.warnings.append(f"{newer}; an apply of it needs --allow-rollback")
        else:
            draft.blocked.append(f"{newer}; if that is meant, pass --allow-rollback")
    return Plan(
        stack=spec.stack,
        apps=tuple(draft.apps),
        changes=with_edges(draft.changes, empty_apps=frozenset(draft.empty_apps)),
        foreign=tuple(sorted(draft.foreign, key=lambda machine: (machine.app, machine.name, machine.id))),
        warnings=tuple(draft.warnings),
        blocked=tuple(draft.blocked),
        observed_at=observed.at,
    )


def _plan_app(draft: _Draft, app: App, observed: ObservedApp, differ: Differ, request: _Request) -> None:
    if observed.is_unobserved:
        draft.blocked.append(
            f"app {app.name} reports {observed.reported_count} machines, but the list of them is empty:"
            " the answer cannot be believed, so nothing may be changed; try again"
        )
        return
    paired = pair(app, observed, stack=request.stack)
    adopted = _adopted(draft, app, paired, differ, request)
    draft.foreign += [machine for machine in paired.foreign if machine.id not in {one.machine_id for one in adopted}]
    draft.warnings += paired.warnings
    draft.owned += paired.owned
    found = (*_slot_changes(app, paired, differ), *_surplus_changes(app, paired), *_twin_changes(app, paired), *adopted)
    changes = [change for change in found if not request.only or change.slot.pool in request.only]
    if not observed.exists and changes:
        draft.apps.append(AppCreation(name=app.name, org=app.org))
    if not observed.machines:
        draft.empty_apps.add(app.name)
    draft.changes += changes


def _adopted(draft: _Draft, app: App, paired: Paired, differ: Differ, request: _Request) -> list[Change]:
    """The take-overs of machines that hold a slot's name; where that is not to be, why nothing or not this is done."""
    pools = {pool.name: pool for pool in app.pools}
    adopted = []
    for slot, machine in sorted(paired.blocked.items()):
        if request.only and slot.pool not in request.only:
            continue
        if not machine.is_observable:
            host = machine.host_status.value
            draft.warnings.append(f"{slot.address}: machine {machine.id} cannot be observed (host {host}); left alone")
            continue
        held = f"{slot.address}: the name is held by machine {machine.id}, which this stack does not own"
        if machine.metadata.get(marks.STACK):
            draft.blocked.append(f"{held}; destroy or rename it, or rename the pool")
        elif not request.adopt:
            draft.blocked.append(f"{held}; take it over with --adopt, or rename it or the pool")
        elif change := _adoption(slot, machine, pools[slot.pool], paired, differ):
            adopted.append(change)
        else:
            draft.blocked.append(f"{held}; it cannot be taken over: its region or volume is another")
    return adopted


def _adoption(slot: Slot, machine: Machine, pool: Pool, paired: Paired, differ: Differ) -> Change | None:
    assert machine.config is not None
    situation = Situation(
        pool=pool,
        region=slot.region,
        desired_digest=digest_of(pool.config),
        machine=machine,
        fields=differ.differences(canonical(pool.config), machine.config),
    )
    if decide(situation)[0] is not Action.UPDATE:
        return None
    reason = "taken over: it is not marked by any stack"
    if machine.metadata.get("fly_platform_version") == "v2":
        reason += "; `fly deploy` manages this app too, and would change or destroy it"
    return _change(slot, situation, anchor_of(pool, paired), (Action.ADOPT, reason))


def _slot_changes(app: App, paired: Paired, differ: Differ) -> Iterator[Change]:
    for pool in app.pools:
        desired = canonical(pool.config)
        digest = digest_of(pool.config)
        anchor = anchor_of(pool, paired)
        for slot in sorted(pool.slots, key=lambda slot: (slot.number, slot.region)):
            if slot in paired.blocked:
                continue
            machine = paired.by_slot.get(slot)
            assert machine is None or machine.config is not None
            situation = Situation(
                pool=pool,
                region=slot.region,
                desired_digest=digest,
                machine=machine,
                fields=_fields(differ, desired, digest, machine, pool),
            )
            yield _change(slot, situation, anchor)


def _fields(
    differ: Differ, desired: Canonical, digest: str, machine: Machine | None, pool: Pool
) -> tuple[FieldChange, ...]:
    """What differs, less what one run has of its own: that is no drift, and goes back by itself."""
    if machine is None or machine.config is None:
        return ()
    is_overridden = marks.OVERRIDE in machine.metadata
    if is_overridden and machine.metadata.get(marks.APPLIED) == digest:
        return ()
    fields = differ.differences(desired, machine.config)
    if pool.has_resolved_image:
        fields = tuple(_moved(field) for field in fields)
    if is_overridden:
        return tuple(_as_spec(field) for field in fields if field.cause is not Cause.DRIFT)
    return fields


def _as_spec(field: FieldChange) -> FieldChange:
    return replace(field, cause=Cause.SPEC) if field.cause is Cause.BOTH else field


def _moved(field: FieldChange) -> FieldChange:
    """An image whose tag is as it was, and names another digest now, was changed by neither spec nor hand."""
    is_ours = field.path == "image" and field.cause is Cause.SPEC
    return replace(field, cause=Cause.IMAGE) if is_ours and has_moved(field.observed, field.desired) else field


def _change(slot: Slot, situation: Situation, anchor: str | None, decided: tuple[Action, str] | None = None) -> Change:
    action, reason = decided or decide(situation)
    pool, machine = situation.pool, situation.machine
    is_written = action in {Action.CREATE, Action.UPDATE, Action.REPLACE, Action.ADOPT}
    return Change(
        slot=slot,
        kind=pool.kind,
        action=action,
        reason=reason,
        fields=situation.fields,
        deferred=deferral(pool.kind, action, machine),
        machine_id=machine.id if machine else None,
        machine_state=machine.state if machine else None,
        expected_digest=_expected_digest(machine) if is_written else None,
        expected_applied=situation.applied,
        observed=machine.config if machine and action is not Action.NONE else None,
        desired=pool.config if is_written else None,
        desired_digest=situation.desired_digest if is_written else None,
        anchor=anchor,
        terms=pool.terms.to_text() if pool.kind is PoolKind.TASK and is_written and anchor == slot.name else None,
        image_digest=pool.resolved_digest if is_written else None,
        launch=pool.launch,
        is_protected=pool.is_protected,
    )


def _expected_digest(machine: Machine | None) -> str | None:
    """What the machine's config must still be when the change is made: one run's own does not count, it goes back."""
    if machine is None or machine.config is None:
        return None
    if override := machine.metadata.get(marks.OVERRIDE):
        return marks.parse_override(override)[2]
    return live_digest(machine.config)


def _surplus_changes(app: App, paired: Paired) -> Iterator[Change]:
    """The machines of ours that the spec no longer has, the highest numbers first."""
    pools = {pool.name: pool for pool in app.pools}
    for slot in sorted(paired.surplus, key=lambda slot: (slot.pool, -slot.number, slot.region)):
        pool, machine = pools.get(slot.pool), paired.surplus[slot]
        removal = _removal(slot, machine, pool, _why_surplus(slot, pool))
        if pool and pool.kind is PoolKind.TASK and machine.metadata.get(marks.ANCHOR) == machine.name:
            heir = heir_of(pool, paired)
            removal = replace(
                removal,
                heir=heir,
                desired_digest=digest_of(pool.config),
                terms=pool.terms.to_text(),
                image_digest=pool.resolved_digest,
            )
        yield removal


def _twin_changes(app: App, paired: Paired) -> Iterator[Change]:
    """The second machines of a name, which a race left where names are not unique."""
    pools = {pool.name: pool for pool in app.pools}
    for slot, machine in sorted(paired.twins, key=lambda twin: (twin[0], twin[1].id)):
        kept = paired.by_slot.get(slot) or paired.surplus[slot]
        reason = f"a twin of machine {kept.id}, which stays"
        yield _removal(slot, machine, pools.get(slot.pool), reason, is_twin=True)


def _removal(slot: Slot, machine: Machine, pool: Pool | None, reason: str, *, is_twin: bool = False) -> Change:
    kind = pool.kind if pool else _kind_of(machine)
    return Change(
        slot=slot,
        kind=kind,
        action=Action.DESTROY,
        reason=reason,
        deferred=deferral(kind, Action.DESTROY, machine),
        machine_id=machine.id,
        machine_state=machine.state,
        expected_digest=_expected_digest(machine),
        expected_applied=machine.metadata.get(marks.APPLIED),
        observed=machine.config,
        is_protected=pool.is_protected if pool else marks.PROTECT in machine.metadata,
        is_twin=is_twin,
    )


def _why_surplus(slot: Slot, pool: Pool | None) -> str:
    if pool is None:
        return f"pool {slot.pool} is no longer in the spec"
    count = pool.counts.get(slot.region)
    return f"region {slot.region} is no longer in the spec" if count is None else f"the count there is now {count}"


def _kind_of(machine: Machine) -> PoolKind:
    """What a machine of a removed pool was. In doubt a task, which is never ended by force."""
    config = machine.config
    is_service = config and (config.document.get("restart") or {}).get("policy") == "always"
    return PoolKind.SERVICE if is_service else PoolKind.TASK
