"""A pool whose anchor cannot be observed gets no second one: a key would be recorded on both."""

import pytest

from reconciler.model import marks
from reconciler.model.spec import Spec
from tests.support.world import World, app_spec, task_spec


def named(world: World) -> list[str]:
    """The machines that name themselves the anchor of their pool."""
    machines = [(machine.name, machine.config["metadata"]) for machine in world.machines()]
    return [name for name, metadata in machines if metadata.get(marks.ANCHOR) == name]


def regions(*names: str) -> Spec:
    return app_spec(f"    tasks:\n      work: {{command: [exit, '0'], regions: [{', '.join(names)}]}}\n")


@pytest.mark.parametrize("later", [task_spec(count="3"), task_spec("[exit, '1']", count="3"), task_spec(count="4")])
async def test_no_apply_names_another_one_meanwhile(world: World, later: Spec) -> None:
    assert (await world.apply(task_spec(count="3"))).is_success
    [anchor] = named(world)
    world.engine.faults.add(fault="host_unreachable", machine=anchor)
    await world.apply(later)
    assert named(world) == [anchor]
    world.engine.faults.rules.clear()
    assert (await world.apply(later)).is_success
    assert named(world) == [anchor]


async def test_a_slot_that_is_made_meanwhile_is_not_the_anchor(world: World) -> None:
    assert (await world.apply(regions("iad"))).is_success
    world.engine.faults.add(fault="host_unreachable", machine="work-iad-0")
    await world.apply(regions("ams", "iad"))
    assert {machine.name for machine in world.machines()} == {"work-iad-0", "work-ams-0"}
    assert named(world) == ["work-iad-0"]
