"""Pair slots and machines by name and marks, and set foreign machines apart."""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.canonical.digest import DesiredDigests
from reconciler.model import marks
from reconciler.model.machine import Machine, Observed, ObservedApp
from reconciler.model.plan import ForeignMachine, UnreachableMachine
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import App, Slot, Spec, slot_named


class Paired(Struct, kw_only=True):
    """One app's machines, sorted. `orphans` are ours and have no slot in the spec.

    `selection` is the part of the stack that is planned. `digests` are those of the app's pools.
    """

    by_slot: dict[Slot, Machine] = field(default_factory=dict)
    orphans: dict[Slot, Machine] = field(default_factory=dict)
    foreign: list[ForeignMachine] = field(default_factory=list)
    blocked: dict[Slot, Machine] = field(default_factory=dict)  # the slot's name is held by a foreign machine
    duplicates: list[tuple[Slot, Machine]] = field(default_factory=list)  # second machines of a name, to be removed
    clones: list[tuple[Slot, Machine]] = field(default_factory=list)  # with marks of the slot, under another name
    owned: list[Machine] = field(default_factory=list)
    unreachable: dict[Slot, Machine] = field(default_factory=dict)  # not observable: neither changed nor made again
    warnings: list[str] = field(default_factory=list)
    selection: Selection = WHOLE
    digests: DesiredDigests = field(default_factory=DesiredDigests)

    @property
    def owned_count(self) -> int:
        return len(self.by_slot) + len(self.orphans)


def pair(app: App, observed: ObservedApp, *, stack: str, selection: Selection = WHOLE) -> Paired:
    """Pair the app's slots with its machines, whatever the machines' order."""
    slots = {slot.name: slot for pool in app.pools for slot in pool.slots}
    pools = {pool.name for pool in app.pools}
    paired = Paired(selection=selection)
    for machine in _in_order(observed.machines):
        slot = slots.get(machine.name)
        if not machine.is_observable and _may_be_ours(machine, stack=stack):
            _set_unreachable(paired, machine, slot or slot_of_name(machine, slots, pools))
            continue
        if not marks.is_owned(machine.metadata, stack=stack, name=machine.name):
            _set_apart(paired, machine, slot, slots, stack=stack)
            continue
        place = slot or slot_named(app.name, machine.metadata[marks.POOL], machine.name, region=machine.region)
        paired.owned.append(machine)
        home = paired.by_slot if slot else paired.orphans
        if place in home:
            paired.duplicates.append((place, machine))
            continue
        home[place] = machine
    return paired


def _in_order(machines: Iterable[Machine]) -> list[Machine]:
    """Sort the machines, without those that are gone.

    Of duplicates the one to keep comes first: the busy one, then the older.
    """

    def key(machine: Machine) -> tuple[bool, bool, float, str]:
        created = machine.created_at.timestamp() if machine.created_at else 0.0
        return machine.state.is_gone, machine.state.is_resting, created, machine.id

    return sorted((machine for machine in machines if not machine.state.is_gone), key=key)


def unreachable_machines(spec: Spec, observed: Observed) -> tuple[UnreachableMachine, ...]:
    """Return the stack's machines that cannot be observed, as one snapshot shows."""
    found: list[UnreachableMachine] = []
    for app in spec.apps:
        seen = observed.apps.get(app.name)
        dark = tuple(machine for machine in seen.machines if not machine.is_observable) if seen else ()
        if seen and dark:
            found += unreachable_of(pair(app, replace(seen, machines=dark), stack=spec.stack))
    return tuple(found)


def unreachable_of(paired: Paired) -> list[UnreachableMachine]:
    """Return the same of one app that was paired, in the order of the slots."""
    return [
        UnreachableMachine(
            slot=slot, id=machine.id, host=machine.host_status.value, not_understood=machine.not_understood
        )
        for slot, machine in sorted(paired.unreachable.items())
    ]


def _may_be_ours(machine: Machine, *, stack: str) -> bool:
    """Return whether the marks, if there are any, do not say otherwise.

    Of a host that is down the list may give no config, or one without its metadata.
    """
    return marks.may_be_owned(machine.metadata, stack=stack, name=machine.name, are_whole=machine.shows_marks)


def _set_unreachable(paired: Paired, machine: Machine, slot: Slot | None) -> None:
    if slot is None:
        paired.foreign.append(_foreign(machine, f"{machine.doubt}, so its owner is not known"))
    else:
        paired.unreachable.setdefault(slot, machine)


def _set_apart(paired: Paired, machine: Machine, slot: Slot | None, slots: Mapping[str, Slot], *, stack: str) -> None:
    foreign = _foreign(machine, _reason(machine, slot, stack=stack))
    cloned, pool = clone_of(machine, stack=stack), machine.metadata.get(marks.POOL)
    paired.foreign.append(replace(foreign, clone_of=cloned))
    is_declared = slot is not None and bool(slot.given)  # the spec names this machine: nobody wants it to go
    if cloned and machine.name and pool and not is_declared:
        original = slots.get(cloned) or slot_named(machine.app, pool, cloned, region="")
        if cloned in slots or not original.given:
            paired.clones.append((original, machine))
    if slot:
        paired.blocked.setdefault(slot, machine)


def _reason(machine: Machine, slot: Slot | None, *, stack: str) -> str:
    owner = machine.metadata.get(marks.STACK)
    if owner and owner != stack:
        return f"belongs to stack {owner}"
    if owner:
        cloned = clone_of(machine, stack=stack)
        which = f" of {cloned}" if cloned else ""
        return f"a clone{which}: it carries this stack's marks under another name"
    return "has the name of a slot, but not this stack's marks" if slot else "not marked by this stack"


def clone_of(machine: Machine, *, stack: str) -> str:
    """Return the slot whose marks the machine carries under another name; "" if none."""
    name = machine.metadata.get(marks.SLOT, "")
    return name if machine.metadata.get(marks.STACK) == stack and name != machine.name else ""


def _foreign(machine: Machine, reason: str) -> ForeignMachine:
    return ForeignMachine(app=machine.app, id=machine.id, name=machine.name, state=machine.state, reason=reason)


def slot_of_name(machine: Machine, slots: Mapping[str, Slot], pools: Collection[str]) -> Slot | None:
    """Return the slot that the machine's name is the name of.

    Its pool is in the spec, or named by its marks. If its name is not told, its mark `slot` counts.
    """
    name = machine.name or machine.metadata.get(marks.SLOT, "")
    if name in slots:
        return slots[name]
    marked = machine.metadata.get(marks.POOL)
    pool = marked or name.rpartition("-")[0].rpartition("-")[0]
    slot = slot_named(machine.app, pool, name, region=machine.region)
    return slot if name and (marked or (pool in pools and not slot.given)) else None
