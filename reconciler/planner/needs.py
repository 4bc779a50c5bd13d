"""Decide what a plan reads of a machine; the rest need not be held. Pure.

A plan of a long list holds each machine until the whole list is there. Of most of them it reads little: of a machine
that is not the stack's it only says that it is there, and of one that stays up it reads no events but the newest.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from msgspec.structs import replace

from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.crashes import hides_its_start
from reconciler.model.kind import kind_of
from reconciler.model.machine import Event, Machine
from reconciler.model.spec import App, PoolKind, Spec


def needs_of(spec: Spec, *, keeps_marks: bool = False) -> Mapping[str, Callable[[Machine], Machine]]:
    """Return for each app a function that leaves of a machine what a plan reads.

    With `keeps_marks` all marks of the stack's machines are left: an apply may copy them to a machine that it makes.
    """
    return {app.name: _Needs(app, spec.stack, keeps_marks=keeps_marks).of for app in spec.apps}


class _Needs:
    def __init__(self, app: App, stack: str, *, keeps_marks: bool) -> None:
        self._app = app
        self._stack = stack
        self._keeps_marks = keeps_marks
        self._services = frozenset(pool.name for pool in app.pools if pool.kind is PoolKind.SERVICE)
        self._of_others: dict[str, MachineConfig] = {}  # a config with nothing but its owner's mark, by owner

    def of(self, machine: Machine) -> Machine:
        """Return the machine without what its plan does not read."""
        if not machine.is_observable or not machine.id:
            return machine
        if machine.metadata.get(marks.STACK) == self._stack:
            return self._owned(machine)
        is_known = machine.name in self._names or marks.is_left_over(machine.metadata)
        return machine if is_known else self._foreign(machine)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(slot.name for pool in self._app.pools for slot in pool.slots)

    def _foreign(self, machine: Machine) -> Machine:
        owner = machine.metadata.get(marks.STACK, "")
        if owner not in self._of_others:
            document = {"metadata": {marks.STACK: owner} if owner else {}}
            self._of_others[owner] = MachineConfig(document=document)
        return Machine(
            app=machine.app,
            id=machine.id,
            name=machine.name,
            state=machine.state,
            region=machine.region,
            version="",
            config=self._of_others[owner],
            lease=machine.lease,
        )

    def _owned(self, machine: Machine) -> Machine:
        assert machine.config is not None
        config = machine.config
        if not self._keeps_marks:
            kept = {key: text for key, text in config.metadata.items() if not marks.is_record(key)}
            config = config.with_metadata(kept)
        is_service = machine.metadata.get(marks.POOL) in self._services or kind_of(machine) is PoolKind.SERVICE
        return replace(
            machine,
            config=config,
            events=machine.events if is_service and _may_have_crashed(machine.events) else _newest(machine),
            checks=(),
            image_digest=None if "@" in (config.image or "") else machine.image_digest,
            updated_at=None,
        )


def _may_have_crashed(events: Sequence[Event]) -> bool:
    return hides_its_start(events) or any(event.exit for event in events)


def _newest(machine: Machine) -> tuple[Event, ...]:
    """Return the events that tell who changed it last, and since when it runs."""
    kinds = ("update",) if machine.state.is_resting else ("update", "start")
    found = {kind: next((event for event in machine.events if event.type == kind), None) for kind in kinds}
    return tuple(event for event in machine.events if found.get(event.type) is event)
