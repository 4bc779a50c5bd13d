"""What is known of a pool's machines without asking: last seen, leased by others, tried by this process."""

from msgspec.structs import replace

from reconciler.invoke.pool_cache import KnownPool
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import HostStatus, Machine, MachineState


def machine(number: int, *, pool: str = "work", **details: object) -> Machine:
    name = f"{pool}-iad-{number}"
    metadata = {marks.STACK: "stack", marks.POOL: pool, marks.SLOT: name, marks.ANCHOR: f"{pool}-iad-0"}
    found = Machine(
        app="app",
        id=f"{pool}{number}",
        name=name,
        state=MachineState.STOPPED,
        region="iad",
        version="01",
        config=MachineConfig(document={"metadata": metadata}),
    )
    return replace(found, **details)


def known(*machines: Machine) -> KnownPool:
    found = KnownPool(app="app", pool="work", stack="stack")
    found.take(machines, began=0.0, now=1.0)
    return found


def test_only_live_machines_of_the_pool_are_known() -> None:
    gone = machine(2, state=MachineState.DESTROYED)
    copied = replace(machine(3), name="copy")  # its mark `slot` is not its name
    found = known(machine(0), machine(1, pool="other"), gone, copied)
    assert [one.id for one in found.machines] == ["work0"]
    assert found.anchor is not None
    assert found.anchor.id == "work0"


def test_a_machine_that_left_the_pool_is_forgotten_when_it_is_read() -> None:
    found = known(machine(0), machine(1))
    found.see(replace(machine(1), config=MachineConfig(document={"metadata": {}})))
    found.see(machine(0, state=MachineState.DESTROYED))
    assert found.machines == []


def test_a_leased_machine_is_busy_until_it_is_read_again() -> None:
    found = known(machine(0), machine(1, state=MachineState.STARTED))
    found.see_held(machine(0))
    assert found.busy_words == "2 of 2 are busy: work-iad-0 (leased), work-iad-1 (started)"
    found.see(machine(0))
    assert found.busy_words == "1 of 2 are busy: work-iad-1 (started)"
    assert not found.is_held(machine(0))


def test_of_the_machines_that_cannot_be_read_the_pools_own_are_told_by_marks_or_by_name() -> None:
    down = HostStatus.UNREACHABLE
    with_marks = machine(0, host_status=down)
    named = machine(1, host_status=down, config=None)
    other = machine(9, pool="other", host_status=down, config=None)
    found = known(with_marks, named, other)
    assert [one.id for one in found.unreachable(["work-iad-0", "work-iad-1"])] == ["work0", "work1"]
