"""A machine with the stack's marks under another name: a clone made by hand."""

from reconciler.operations.status import status
from reconciler.render.json import plan_json
from tests.support.world import World, task_spec

WORK = task_spec("[run, '30']")


async def test_a_clone_made_by_hand_is_told_as_one(world: World) -> None:
    await world.apply(WORK)
    clone = dict(world.machines()[0].config)
    world.engine.create("app", {"name": "mine", "skip_launch": True, "config": clone})
    world.engine.create("app", {"name": "theirs", "skip_launch": True, "config": {"image": "x"}})
    plan = await world.plan(WORK)
    assert not plan.has_changes
    clone_of = {machine.name: machine.clone_of for machine in plan.foreign}
    assert clone_of == {"mine": "work-iad-0", "theirs": ""}
    shown = {one["name"]: one for one in plan_json(plan, plan_sha256=None, salt="")["foreign"]}
    assert shown["mine"]["clone_of"] == "work-iad-0"
    assert shown["mine"]["reason"].startswith("a clone of work-iad-0")
    assert "clone_of" not in shown["theirs"]
    notes = {row.slot: row.note for row in (await status(world.session, WORK)).slots}
    assert notes["mine"] == "foreign: a clone of work-iad-0"
    assert notes["theirs"] == "foreign: not of this stack"
