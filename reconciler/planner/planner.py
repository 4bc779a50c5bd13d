"""The plan: for each slot of the spec and each machine of ours without a slot, what happens and why. Pure.

The result does not depend on the order in which machines were listed.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from reconciler.model import marks
from reconciler.model.machine import Machine, Observed, ObservedApp
from reconciler.model.plan import Action, AppCreation, Change, ForeignMachine, Plan
from reconciler.model.spec import App, Pool, PoolKind, Slot, Spec
from reconciler.planner.diff import Differ
from reconciler.planner.digest import digest_of, live_digest
from reconciler.planner.normalize import canonical
from reconciler.planner.order import with_edges
from reconciler.planner.pair import Paired, pair
from reconciler.planner.rules import Situation, decide, deferral

_BRAKE_COUNT: Final = 3
_BRAKE_SHARE: Final = 3  # a third


@dataclass(slots=True)
class _Draft:
    apps: list[AppCreation] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    foreign: list[ForeignMachine] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    empty_apps: set[str] = field(default_factory=set)
    owned_count: int = 0


def plan(spec: Spec, observed: Observed, *, only: Collection[str] = (), allow_destroy: int | None = None) -> Plan:
    """Every change between the spec and the snapshot.

    `only` restricts it to the pools of these names. `allow_destroy` lets a plan pass the brake on mass deletion that
    destroys or replaces at most so many machines.
    """
    draft = _Draft(warnings=[*spec.warnings, *observed.warnings])
    differ = Differ()
    for app in spec.apps:
        _plan_app(draft, app, observed.apps[app.name], spec.stack, differ, frozenset(only))
    if only:
        draft.warnings.append(f"a partial plan: only {', '.join(sorted(only))}; the rest was not compared")
    draft.blocked += _brake(draft, allow_destroy)
    return Plan(
        stack=spec.stack,
        apps=tuple(draft.apps),
        changes=with_edges(draft.changes, empty_apps=frozenset(draft.empty_apps)),
        foreign=tuple(sorted(draft.foreign, key=lambda machine: (machine.app, machine.name, machine.id))),
        warnings=tuple(draft.warnings),
        blocked=tuple(draft.blocked),
        observed_at=observed.at,
    )


def _plan_app(draft: _Draft, app: App, observed: ObservedApp, stack: str, differ: Differ, only: frozenset[str]) -> None:
    if observed.is_unobserved:
        draft.blocked.append(
            f"app {app.name} reports {observed.reported_count} machines, but the list of them is empty:"
            " the answer cannot be believed, so nothing may be changed; try again"
        )
        return
    paired = pair(app, observed, stack=stack)
    draft.foreign += paired.foreign
    draft.warnings += paired.warnings
    draft.owned_count += paired.owned_count
    changes = [
        change
        for change in (*_slot_changes(app, paired, differ), *_surplus_changes(app, paired))
        if not only or change.slot.pool in only
    ]
    _report_blocked(draft, paired, only)
    if not observed.exists and changes:
        draft.apps.append(AppCreation(name=app.name, org=app.org))
    if not observed.machines:
        draft.empty_apps.add(app.name)
    draft.changes += changes


def _report_blocked(draft: _Draft, paired: Paired, only: frozenset[str]) -> None:
    for slot, machine in sorted(paired.blocked.items()):
        if only and slot.pool not in only:
            continue
        if not machine.is_observable:
            host = machine.host_status.value
            draft.warnings.append(f"{slot.address}: machine {machine.id} cannot be observed (host {host}); left alone")
        else:
            draft.blocked.append(
                f"{slot.address}: the name is held by machine {machine.id}, which this stack does not own;"
                " destroy or rename it, or rename the pool"
            )


def _slot_changes(app: App, paired: Paired, differ: Differ) -> Iterator[Change]:
    for pool in app.pools:
        desired = canonical(pool.config)
        digest = digest_of(pool.config)
        anchor = _anchor(pool, paired)
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
                fields=differ.differences(desired, machine.config) if machine and machine.config else (),
            )
            yield _change(slot, situation, anchor)


def _change(slot: Slot, situation: Situation, anchor: str | None) -> Change:
    action, reason = decide(situation)
    pool, machine = situation.pool, situation.machine
    is_written = action in {Action.CREATE, Action.UPDATE, Action.REPLACE}
    return Change(
        slot=slot,
        kind=pool.kind,
        action=action,
        reason=reason,
        fields=situation.fields,
        deferred=deferral(pool.kind, action, machine),
        machine_id=machine.id if machine else None,
        machine_state=machine.state if machine else None,
        expected_digest=live_digest(machine.config) if machine and machine.config and is_written else None,
        expected_applied=situation.applied,
        desired=pool.config if is_written else None,
        desired_digest=situation.desired_digest if is_written else None,
        anchor=anchor,
        launch=pool.launch,
    )


def _surplus_changes(app: App, paired: Paired) -> Iterator[Change]:
    """The machines of ours that the spec no longer has, the highest numbers first."""
    pools = {pool.name: pool for pool in app.pools}
    for slot in sorted(paired.surplus, key=lambda slot: (slot.pool, -slot.number, slot.region)):
        machine = paired.surplus[slot]
        pool = pools.get(slot.pool)
        kind = pool.kind if pool else _kind_of(machine)
        yield Change(
            slot=slot,
            kind=kind,
            action=Action.DESTROY,
            reason=_why_surplus(slot, pool),
            deferred=deferral(kind, Action.DESTROY, machine),
            machine_id=machine.id,
            machine_state=machine.state,
            expected_digest=live_digest(machine.config) if machine.config else None,
            expected_applied=machine.metadata.get(marks.APPLIED),
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


def _anchor(pool: Pool, paired: Paired) -> str | None:
    """The slot that was the pool's anchor when it was first applied, while it is in the spec; else the smallest."""
    slots = pool.slots
    names = {slot.name for slot in slots}
    machines = (paired.by_slot.get(slot) for slot in slots)
    named = {mark for machine in machines if machine and (mark := machine.metadata.get(marks.ANCHOR)) in names and mark}
    if named:
        return min(named)
    return pool.anchor.name if pool.anchor else None


def _brake(draft: _Draft, allow_destroy: int | None) -> Iterable[str]:
    lost = sum(change.action in {Action.DESTROY, Action.REPLACE} for change in draft.changes)
    if lost <= max(_BRAKE_COUNT, allow_destroy or 0) or lost * _BRAKE_SHARE <= draft.owned_count:
        return ()
    return (
        f"this destroys or replaces {lost} of the stack's {draft.owned_count} machines;"
        f" if that is meant, pass --allow-destroy {lost}",
    )
