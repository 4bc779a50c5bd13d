"""Tell the stack's machines once a plan's changes are made, to write marks on.

Pure.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from reconciler.model import marks
from reconciler.model.change import Action, Change
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine, ObservedApp
from reconciler.model.marks import MetadataWrite

_CARRIES = frozenset({Action.CREATE, Action.UPDATE, Action.REPLACE, Action.ADOPT})


class Holder(Struct, frozen=True, kw_only=True):
    """A machine of the stack as it is once the changes are made.

    `machine` is as it was seen, if it was there, and `metadata` what that carries. `takes_marks` says whether marks may
    be written on it without an update: on a machine with checks that would reset their reports. `is_made` says that a
    change makes it anew, `carried_by` is the address of the change that writes its pool's marks on it.
    """

    app: str
    name: str
    machine: Machine | None
    config: MachineConfig | None
    metadata: Mapping[str, str]
    takes_marks: bool
    is_made: bool = False
    carried_by: str | None = None

    def write(self, due: Mapping[str, str]) -> MetadataWrite:
        machine_id = None if self.is_made or self.machine is None else self.machine.id
        return MetadataWrite(app=self.app, name=self.name, machine_id=machine_id, marks=dict(due))


def holders_of(owned: Iterable[Machine], changes: Iterable[Change]) -> list[Holder]:
    """Return the stack's machines of one app, once the changes are made, by name."""
    doable = [change for change in changes if not change.deferred]
    return sorted(_holders(owned, doable), key=lambda one: (one.name, one.machine.id if one.machine else ""))


def _holders(owned: Iterable[Machine], changes: Iterable[Change]) -> Iterator[Holder]:
    by_machine = {change.machine_id: change for change in changes if change.machine_id}
    for machine in owned:
        change = by_machine.get(machine.id)
        action = change.action if change else Action.NONE
        if action in {Action.DESTROY, Action.RELEASE}:
            continue
        config = change.desired.config if change and change.desired else machine.config
        yield Holder(
            app=machine.app,
            name=machine.name,
            machine=machine,
            config=config,
            metadata=machine.metadata,
            takes_marks=takes_marks(config),
            is_made=action is Action.REPLACE,
            carried_by=change.address if change and action in _CARRIES else None,
        )
    for change in changes:
        if change.action is Action.CREATE:
            place, config = change.slot, change.desired.config if change.desired else None
            yield Holder(
                app=place.app,
                name=place.name,
                machine=None,
                config=config,
                metadata={},
                takes_marks=takes_marks(config),
                is_made=True,
                carried_by=change.address,
            )


def leaving_anchors(owned: Iterable[Machine], changes: Iterable[Change]) -> list[Holder]:
    """Return the anchors that the changes destroy, and that pass on what they tell."""
    going = {
        change.machine_id for change in changes if change.handover and change.handover.successor and not change.deferred
    }
    return [
        Holder(
            app=machine.app,
            name=machine.name,
            machine=machine,
            config=machine.config,
            metadata=machine.metadata,
            takes_marks=takes_marks(machine.config),
        )
        for machine in owned
        if machine.id in going
    ]


def by_pool(holders: Iterable[Holder]) -> dict[str, list[Holder]]:
    """Group the machines by the pool that their marks name.

    Machines that are yet to be made have no marks.
    """
    found: dict[str, list[Holder]] = {}
    for holder in holders:
        found.setdefault(holder.metadata.get(marks.POOL, ""), []).append(holder)
    return found


def owned_in(observed: ObservedApp, stack: str) -> list[Machine]:
    """Return the app's machines that are the stack's and can be observed."""
    return [
        machine
        for machine in observed.machines
        if machine.is_observable
        and not machine.state.is_gone
        and marks.is_owned(machine.metadata, stack=stack, name=machine.name)
    ]


def takes_marks(config: MachineConfig | None) -> bool:
    """Return whether marks may be written without an update: not beside checks."""
    return not (config and (config.services or config.checks))
