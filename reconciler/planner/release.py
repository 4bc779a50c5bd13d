"""Plan the release of a stack's machines: our marks are taken off. Pure.

A released machine goes on as it is, and belongs to no stack. A task with a run in progress is released once that has
ended. To write metadata resets the reports of a machine's health checks, so the machines of a service with checks are
released one after the other.
"""

from collections.abc import Collection, Iterable, Iterator

from msgspec.structs import replace

from reconciler.canonical.digest import live_digest
from reconciler.model import marks
from reconciler.model.change import Action, Change, ReasonCode
from reconciler.model.desired import Expected
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine, Observed, ObservedApp
from reconciler.model.marks import MetadataWrite
from reconciler.model.plan import ForeignMachine, Plan, UnreachableMachine
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import App, Pool, Slot, Spec
from reconciler.planner.holders import takes_marks
from reconciler.planner.pair import pair, slot_of_name, unreachable_of
from reconciler.planner.rules import deferral

_REASON = "its marks are taken off, and it goes on as it is"
_LEFT_REASON = "a release or an adoption of it was cut off: the rest of its marks is taken off"


def release_plan(spec: Spec, observed: Observed, *, selection: Selection = WHOLE) -> Plan:
    """Return the plan that releases the stack's machines."""
    changes: list[Change] = []
    kept: list[Machine] = []
    foreign: list[ForeignMachine] = []
    unreachable: list[UnreachableMachine] = []
    blocked: list[str] = []
    for app in spec.apps:
        seen = observed.apps[app.name]
        if seen.unobserved:
            blocked.append(f"{seen.unobserved}: the answer cannot be believed, so nothing may be changed; try again")
            continue
        paired = pair(app, seen, stack=spec.stack, selection=selection)
        mine = [*paired.by_slot.items(), *paired.orphans.items(), *paired.duplicates]
        first = {machine.id for machine in (*paired.by_slot.values(), *paired.orphans.values())}
        left = [*_left_over(app, seen)]
        chosen = [(slot, machine) for slot, machine in (*mine, *left) if selection.has(slot)]
        ids = {machine.id for _slot, machine in chosen}
        kept += [machine for machine in paired.owned if machine.id not in ids]
        pools = {pool.name: pool for pool in app.pools}
        found = [
            _release(slot, machine, pools.get(slot.pool), is_duplicate=machine.id not in first)
            for slot, machine in sorted(chosen, key=lambda one: (one[0].pool, one[0].number, one[0].region, one[1].id))
        ]
        changes += _one_after_the_other(found)
        foreign += [machine for machine in paired.foreign if machine.id not in ids]
        unreachable += [one for one in unreachable_of(paired) if selection.has(one.slot)]
    return Plan(
        stack=spec.stack,
        apps=(),
        changes=tuple(_keeping_the_revision(changes, kept)),
        foreign=tuple(sorted(foreign, key=lambda machine: (machine.app, machine.name, machine.id))),
        warnings=(*observed.warnings, *(one.words for one in unreachable)),
        blocked=tuple(blocked),
        observed_at=observed.at,
        unreachable=tuple(unreachable),
    )


def _left_over(app: App, observed: ObservedApp) -> Iterator[tuple[Slot, Machine]]:
    """Yield machines without an owner that still carry marks of their slot.

    Their release was cut off.
    """
    slots = {slot.name: slot for pool in app.pools for slot in pool.slots}
    pools = {pool.name for pool in app.pools}
    for machine in observed.machines:
        if machine.is_observable and not machine.state.is_gone and marks.is_left_over(machine.metadata):
            slot = slot_of_name(machine, slots, pools)
            if slot and machine.metadata.get(marks.SLOT) == machine.name:
                yield slot, machine


def _release(slot: Slot, machine: Machine, pool: Pool | None, *, is_duplicate: bool) -> Change:
    assert machine.config is not None
    kind = kind_of(machine, declared=pool.kind if pool else None)
    override = machine.metadata.get(marks.OVERRIDE)
    digest = marks.parse_override(override)[2] if override else live_digest(machine.config)
    change = Change(
        slot=slot,
        kind=kind,
        action=Action.RELEASE,
        reason=_REASON if marks.STACK in machine.metadata else _LEFT_REASON,
        code=ReasonCode.RELEASE,
        deferred=deferral(kind, Action.RELEASE, machine),
        machine_id=machine.id,
        machine_state=machine.state,
        expected=Expected(digest=digest, applied=machine.metadata.get(marks.APPLIED), version=machine.version or None),
        observed=machine.config,
        is_duplicate=is_duplicate,
    )
    return replace(change, rollout=pool.rollout) if pool else change


def _one_after_the_other(changes: Iterable[Change]) -> Iterator[Change]:
    """Let the machines of a service with checks wait for each other."""
    previous: dict[str, str] = {}
    for change in changes:
        if change.deferred or not (change.observed and change.observed.has_checks):
            yield change
            continue
        pool = change.slot.pool
        yield replace(change, depends_on=(previous[pool],)) if pool in previous else change
        previous[pool] = change.address


def _keeping_the_revision(changes: Iterable[Change], kept: Collection[Machine]) -> Iterator[Change]:
    """Let the highest applied revision pass to a machine that stays the stack's.

    Without it an older apply would not be refused.
    """
    able = [machine for machine in kept if takes_marks(machine.config)]
    keeper = min(able, key=lambda machine: (machine.name, machine.app), default=None)
    for change in changes:
        highest = change.observed.metadata.get(marks.HIGHEST) if change.observed else None
        if highest and keeper and marks.HIGHEST not in keeper.metadata:
            due = {marks.HIGHEST: highest}
            write = MetadataWrite(app=keeper.app, name=keeper.name, machine_id=keeper.id, marks=due)
            yield replace(change, writes=(write,))
        else:
            yield change
