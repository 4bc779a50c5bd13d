"""A plan of some pools and some regions: the rest is neither changed nor forgotten."""

import pytest

from reconciler.errors import UsageError
from reconciler.model import marks
from reconciler.model.change import Action
from reconciler.model.plan import Plan
from reconciler.model.selection import Selection
from reconciler.operations.drift import drift
from tests.support.world import World, app_spec, task_spec

IAD, AMS = Selection(regions=("iad",)), Selection(regions=("ams",))
BOTH = "{iad: 2, ams: 2}"
OLD, NEW = task_spec("[exit, '0']", count=BOTH), task_spec("[exit, '3']", count=BOTH)


def metadata(world: World, name: str) -> dict[str, str]:
    return next(machine for machine in world.machines() if machine.name == name).config["metadata"]


def versions(world: World, region: str) -> dict[str, str]:
    return {machine.name: machine.instance_id for machine in world.machines() if machine.region == region}


def commands(world: World) -> dict[str, str]:
    return {machine.name: machine.config["init"]["cmd"][-1] for machine in world.machines()}


def done(plan: Plan) -> set[tuple[str, Action]]:
    return {(change.slot.name, change.action) for change in plan.effective}


@pytest.mark.parametrize(("first", "second"), [(IAD, AMS), (AMS, IAD)])
async def test_region_by_region_is_the_whole_in_the_end(world: World, first: Selection, second: Selection) -> None:
    assert (await world.apply(OLD)).is_success
    elsewhere = versions(world, second.regions[0])
    report = await world.apply(NEW, selection=first)
    assert report.is_success, report
    assert {entry.slot.region for entry in report.entries} == {*first.regions}
    assert versions(world, second.regions[0]) == elsewhere
    assert {change.slot.region for change in (await world.plan(NEW)).effective} == {*second.regions}
    assert (await world.apply(NEW, selection=second)).is_success
    assert not (await world.plan(NEW)).has_changes
    assert not (await world.plan(NEW)).bookkeeping


async def test_what_a_region_was_made_to_be_is_what_the_task_is(world: World) -> None:
    """An invoke of the same spec takes a machine elsewhere along; one of the old spec deploys nothing."""
    await world.apply(OLD)
    await world.apply(NEW, selection=AMS)
    assert set(commands(world).values()) == {"0", "3"}
    for _ in range(4):
        run = await world.invoke(NEW)
        assert run.outcome.exit_code == 3
    await world.context.clock.sleep(60)
    assert (await world.invoke(OLD)).outcome.exit_code == 3
    assert commands(world)["work-ams-0"] == "3"


@pytest.mark.parametrize("first", [IAD, AMS])
async def test_the_first_apply_of_one_region_makes_a_task_that_can_be_invoked(world: World, first: Selection) -> None:
    [region] = first.regions
    assert (await world.apply(OLD, selection=first)).is_success
    assert set(versions(world, region)) == set(commands(world)) == {f"work-{region}-0", f"work-{region}-1"}
    assert {metadata(world, name)[marks.ANCHOR] for name in commands(world)} == {f"work-{region}-0"}
    assert marks.parse_counts(metadata(world, f"work-{region}-0")[marks.COUNTS]) == {region: 2}
    assert (await world.invoke(OLD, key="k")).outcome.exit_code == 0
    assert not (await world.plan(OLD, selection=first)).has_changes
    assert not (await drift(world.session, OLD)).effective
    assert (await world.apply(OLD)).is_success
    assert {metadata(world, name)[marks.ANCHOR] for name in commands(world)} == {f"work-{region}-0"}
    assert marks.parse_counts(metadata(world, f"work-{region}-0")[marks.COUNTS]) == {"iad": 2, "ams": 2}


@pytest.mark.parametrize("lost", ["work-ams-0", "work-ams-1"])
async def test_a_machine_lost_elsewhere_stays_known_as_lost(world: World, lost: str) -> None:
    await world.apply(OLD)
    gone = next(machine for machine in world.machines() if machine.name == lost)
    await world.engine.destroy(gone.app, gone.id, None, force=True)
    await world.context.clock.sleep(60)
    assert done(await drift(world.session, OLD)) == {(lost, Action.CREATE)}
    assert (await world.apply(NEW, selection=IAD)).is_success
    assert done(await drift(world.session, NEW)) == {(lost, Action.CREATE)}


async def test_a_count_raised_elsewhere_is_not_taken_for_a_loss(world: World) -> None:
    await world.apply(OLD)
    more = task_spec("[exit, '3']", count="{iad: 2, ams: 3}")
    assert (await world.apply(more, selection=IAD)).is_success
    assert not (await drift(world.session, more)).effective
    assert marks.parse_counts(metadata(world, "work-ams-0")[marks.COUNTS]) == {"iad": 2, "ams": 2}


async def test_a_region_that_left_the_spec_is_left_alone_or_emptied_alone(world: World) -> None:
    await world.apply(OLD)
    left = task_spec("[exit, '0']", count="{iad: 2}")
    assert not (await world.plan(left, selection=IAD)).has_changes
    emptied = await world.plan(left, selection=AMS)
    assert done(emptied) == {("work-ams-0", Action.DESTROY), ("work-ams-1", Action.DESTROY)}
    assert (await world.apply(left, selection=AMS)).is_success
    assert not (await world.plan(left)).has_changes
    with pytest.raises(UsageError, match="no machine of the stack is there"):
        await world.plan(left, selection=AMS)


@pytest.mark.parametrize("region", ["iad", "ams"])
async def test_destroying_one_region_leaves_the_task_in_the_other_as_it_was_applied(world: World, region: str) -> None:
    await world.apply(OLD)
    key = await world.invoke(OLD, key="k")
    assert key.id
    other = "ams" if region == "iad" else "iad"
    before = versions(world, other)
    report = await world.destroy(NEW, selection=Selection(regions=(region,)), wait_busy_s=600)
    assert report.is_success, report
    assert versions(world, other) == before == {name: before[name] for name in commands(world)}
    anchor = metadata(world, f"work-{other}-0")
    assert anchor[marks.ANCHOR] == f"work-{other}-0"
    assert marks.parse_want(anchor[marks.WANT]).digest == anchor[marks.APPLIED]
    assert marks.parse_counts(anchor[marks.COUNTS]) == {other: 2}
    assert (await world.invoke(OLD)).outcome.exit_code == 0
    if region != key.id.split("-")[1]:
        assert (await world.invoke(OLD, key="k")).id == key.id


async def test_what_is_excluded_is_not_destroyed(world: World) -> None:
    spec = app_spec("    tasks:\n      a: {command: [exit, '0']}\n      b: {command: [exit, '0']}\n")
    await world.apply(spec)
    report = await world.destroy(spec, selection=Selection(exclude=("a",)), wait_busy_s=600)
    assert [entry.slot.name for entry in report.entries] == ["b-iad-0"]
    assert set(commands(world)) == {"a-iad-0"}
    assert done(await world.plan(spec, selection=Selection(exclude=("a",)))) == {("b-iad-0", Action.CREATE)}


async def test_settings_hold_in_all_regions_and_wait_for_a_plan_of_all(world: World) -> None:
    await world.apply(OLD)
    longer = task_spec("[exit, '0']", count=BOTH, extra="        timeout: 5m\n")
    assert done(await world.plan(longer)) == {("work-ams-0", Action.SETTINGS)}
    assert not (await world.plan(longer, selection=AMS)).has_changes
    assert not (await world.plan(longer, selection=IAD)).has_changes


async def test_the_deletion_limit_counts_what_is_destroyed_against_the_whole_stack(world: World) -> None:
    await world.apply(task_spec(count="{iad: 6, ams: 12}"))
    none = task_spec(count="{iad: 0, ams: 0}")
    assert (await world.plan(none, selection=IAD)).deletion_limit is None
    limit = (await world.plan(none, selection=AMS)).deletion_limit
    assert limit is not None
    assert (limit.destroys, limit.of) == (12, 18)


async def test_marks_that_a_killed_run_left_elsewhere_are_left_alone(world: World) -> None:
    await world.apply(OLD)
    there = next(machine for machine in world.machines() if machine.name == "work-ams-0")
    await world.context.client.set_metadata(there.app, there.id, marks.OVERRIDE, "x;y;z")
    planned = await world.plan(OLD, selection=IAD)
    assert "work-ams-0" not in {write.name for write in planned.bookkeeping if marks.OVERRIDE in write.marks}
    assert "work-ams-0" in {write.name for write in (await world.plan(OLD)).bookkeeping}


async def test_the_plan_says_what_it_is_of(world: World) -> None:
    selection = Selection(exclude=("b",), regions=("iad",))
    spec = app_spec("    tasks:\n      a: {command: [exit, '0'], count: {iad: 1, ams: 1}}\n      b: {command: [x]}\n")
    plan = await world.plan(spec, selection=selection)
    assert plan.selection == selection
    assert "a partial plan: without b, in iad; the rest was not compared" in plan.warnings
    assert done(plan) == {("a-iad-0", Action.CREATE)}
