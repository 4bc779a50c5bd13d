"""Plan the removal of clones that were made by hand. Pure.

A clone has a slot's marks under another name: someone cloned a machine, and the marks came along. Nothing on it is ours
to keep, as its run records and keys are copies of the original's. So it is destroyed, and nothing is handed over. One
that is not at rest is left until it is, a service's too: nobody planned what it does.
"""

from collections.abc import Iterator

from reconciler.canonical.digest import live_digest
from reconciler.model import marks
from reconciler.model.change import Action, Change, ReasonCode
from reconciler.model.desired import Expected
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine
from reconciler.model.spec import App, PoolKind, Slot
from reconciler.planner.pair import Paired
from reconciler.planner.rules import deferral


def prune(app: App, paired: Paired) -> tuple[Change, ...]:
    """Return the removals of the app's clones, and free the names that they hold.

    In a plan of some regions, the region is that of the machine, not of the slot whose marks it carries. Adds a warning
    for each clone that cannot be observed.
    """
    removals = tuple(_removals(app, paired))
    going = {change.machine_id for change in removals if not change.deferred}
    paired.blocked = {slot: machine for slot, machine in paired.blocked.items() if machine.id not in going}
    paired.warnings += [
        f"{slot.address}: its clone {machine.name} ({machine.id}) is {machine.doubt}; left alone"
        for slot, machine in _selected(paired)
        if not machine.is_observable
    ]
    return removals


def _removals(app: App, paired: Paired) -> Iterator[Change]:
    kinds = {pool.name: pool.kind for pool in app.pools}
    there = {slot.name for slot in (*paired.by_slot, *paired.orphans, *paired.unreachable)}
    for slot, machine in _selected(paired):
        if machine.is_observable:
            yield _removal(slot, machine, kinds.get(slot.pool), has_original=slot.name in there)


def _selected(paired: Paired) -> list[tuple[Slot, Machine]]:
    found = [(slot, one) for slot, one in paired.clones if paired.selection.has_place(slot.pool, one.region)]
    return sorted(found, key=lambda clone: (clone[0], clone[1].id))


def _removal(slot: Slot, machine: Machine, declared: PoolKind | None, *, has_original: bool) -> Change:
    assert machine.config is not None
    kind = kind_of(machine, declared=declared)
    return Change(
        slot=slot,
        kind=kind,
        action=Action.DESTROY,
        reason=_reason(slot, machine, has_original=has_original),
        code=ReasonCode.CLONE,
        deferred=_deferral(kind, machine),
        machine_id=machine.id,
        machine_state=machine.state,
        expected=Expected(
            digest=live_digest(machine.config),
            applied=machine.metadata.get(marks.APPLIED),
            version=machine.version or None,
        ),
        observed=machine.config,
        clone=machine.name,
    )


def _deferral(kind: PoolKind, machine: Machine) -> str | None:
    if kind is PoolKind.TASK:
        return deferral(kind, Action.DESTROY, machine)
    if machine.state.is_resting or machine.state.is_settling:
        return None
    return f"busy: it is {machine.state.value}, and a clone is not ended by force"


def _reason(slot: Slot, machine: Machine, *, has_original: bool) -> str:
    assert machine.config is not None
    parts = [f"a clone of {slot.name}: it carries this stack's marks under another name"]
    if not has_original:
        parts.append(f"no machine {slot.name} is there, so it may be that one, renamed")
    if volumes := sorted(machine.config.volumes):
        parts.append(f"volume {', '.join(volumes)} is left, without a machine")
    return "; ".join(parts)
