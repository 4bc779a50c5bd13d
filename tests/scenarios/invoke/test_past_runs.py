"""Runs whose machine an apply took away are told all the same."""

import pytest
from msgspec.structs import replace

from reconciler.invoke.attach import wait_run
from reconciler.invoke.runs import find_run, list_runs
from reconciler.model import marks
from reconciler.model.run import OutcomeName, RunState
from reconciler.model.spec import Spec
from tests.support.faults import after_requests, dying
from tests.support.world import World, open_world, spec_of, task_spec

EMPTY = spec_of("version: 1\nname: stack\napps: {app: {image: 'registry.example/app:1', tasks: {}}}\n")


def spec(count: str = "2", extra: str = "") -> Spec:
    return task_spec("[run, '30', exit, '7']", count=count, extra=extra)


async def run_on(world: World, applied: Spec, slot: str) -> str:
    """A run on this slot that has ended; its id."""
    for machine in world.machines():
        if machine.name != slot:
            world.engine.faults.add("host_capacity", calls=("start",), machine=machine.name)
    run = await world.invoke(applied)
    world.engine.faults.rules.clear()
    assert (run.slot.name if run.slot else None, run.outcome.exit_code) == (slot, 7)
    return str(run.id)


async def forget_destroyed(world: World) -> None:
    """The platform no longer tells of destroyed machines."""
    store = world.engine.store
    for machine in list(store.machines("app")):
        if machine.is_destroyed:
            store._by_app["app"].pop(machine.id)
            store._machines.pop(machine.id)


async def is_told(world: World, run_id: str) -> None:
    found = await find_run(world.context, "app", run_id, stack="stack")
    assert found
    ended = await wait_run(world.context, found)
    assert ended.outcome
    assert (ended.state, ended.outcome.exit_code, ended.task) == (RunState.ENDED, 7, "work")
    assert ended.started_at
    assert ended.ended_at
    assert 29 <= (ended.ended_at - ended.started_at).total_seconds() <= 31
    assert [run.info.id for run in await list_runs(world.context, "app", stack="stack")].count(run_id) == 1


# What takes the machine of the run away, where it ran, and whether something of the pool stands afterwards.
REMOVALS = {
    "shrunk": (spec("2"), "work-iad-1", spec("1")),
    "the anchor's region taken away": (spec("{ams: 1, iad: 1}"), "work-ams-0", spec("{iad: 1}")),
    "another region taken away": (spec("{ams: 1, iad: 1}"), "work-iad-0", spec("{ams: 1}")),
    "all moved, the anchor's run": (spec("2"), "work-iad-0", spec("{fra: 2}")),
    "all moved, another's run": (spec("2"), "work-iad-1", spec("{fra: 2}")),
}


@pytest.mark.parametrize("removal", REMOVALS)
@pytest.mark.parametrize("is_forgotten", [True, False], ids=["the platform has forgotten", "the platform tells"])
async def test_a_finished_run_outlives_its_machine(world: World, removal: str, is_forgotten: bool) -> None:
    before, slot, after = REMOVALS[removal]

    await world.apply(before)
    await world.context.clock.sleep(10)
    run_id = await run_on(world, before, slot)
    report = await world.apply(after)
    assert report.is_success, report
    assert slot not in {machine.name for machine in world.machines()}
    if is_forgotten:
        await forget_destroyed(world)
    await is_told(world, run_id)
    assert not (await world.plan(after)).has_changes


@pytest.mark.parametrize("slot", ["work-iad-0", "work-ams-0"])
async def test_a_finished_run_outlives_the_replacement_of_its_machine(world: World, slot: str) -> None:
    """A machine that stands in another region than its slot is replaced."""
    declared = spec("{iad: 1}" if slot == "work-iad-0" else "{iad: 1, ams: 1}")

    await world.apply(declared)
    await world.context.clock.sleep(10)
    run_id = await run_on(world, declared, slot)
    old = next(machine for machine in world.machines() if machine.name == slot)
    world.engine.store.save(replace(old, region="lhr"))
    assert (await world.apply(declared)).is_success
    assert old.id not in {machine.id for machine in world.machines()}
    await forget_destroyed(world)
    await is_told(world, run_id)


async def test_of_a_pool_that_left_the_spec_the_destroyed_machine_tells(world: World) -> None:
    await world.apply(spec())
    await world.context.clock.sleep(10)
    run_id = await run_on(world, spec(), "work-iad-1")
    assert (await world.apply(EMPTY)).is_success
    assert world.machines() == []
    await is_told(world, run_id)
    await forget_destroyed(world)
    assert await find_run(world.context, "app", run_id, stack="stack") is None


async def test_a_run_that_its_timeout_ended_stays_one(world: World) -> None:
    await world.apply(spec())
    await world.context.clock.sleep(10)
    world.engine.faults.add("host_capacity", calls=("start",), machine="work-iad-0", times=1)
    run = await world.invoke(spec(), timeout_s=10.0)
    assert run.outcome.name is OutcomeName.TIMED_OUT
    slot = run.slot.name if run.slot else ""
    assert slot == "work-iad-1"
    await world.apply(spec("1"))
    await forget_destroyed(world)
    found = await find_run(world.context, "app", str(run.id), stack="stack")
    assert found
    assert found.info.outcome == run.outcome


@pytest.mark.slow
async def test_what_is_kept_is_bounded_and_the_oldest_goes_first(world: World) -> None:
    runs = []
    for _ in range(30):
        await world.apply(spec("2"))
        await world.context.clock.sleep(10)
        runs.append(await run_on(world, spec("2"), "work-iad-1"))
        assert (await world.apply(spec("1"))).is_success
    await forget_destroyed(world)
    [anchor] = world.machines()
    kept = [key for key in anchor.config["metadata"] if key.startswith(marks.ENDS) and key[-1].isdigit()]
    assert len(kept) == 8
    listed = await list_runs(world.context, "app", stack="stack")
    told = [run.info.id for run in listed if run.info.slot == "work-iad-1"]
    assert told == runs[::-1][: len(told)]
    assert len(told) >= 8


async def test_without_the_anchors_lease_the_machine_goes_all_the_same_and_that_is_said(world: World) -> None:
    await world.apply(spec())
    await world.context.clock.sleep(10)
    run_id = await run_on(world, spec(), "work-iad-1")
    anchor = next(machine for machine in world.machines() if machine.name == "work-iad-0")
    client = world.context.client
    await client.leases.acquire("app", anchor.id, ttl_s=3600, description="someone")
    await world.apply(spec("1"), lock_timeout_s=2.0)
    assert [machine.name for machine in world.machines()] == ["work-iad-0"]
    assert any("cannot keep how its runs ended" in line for line in world.said)
    await is_told(world, run_id)


@pytest.mark.slow
async def test_killed_at_any_request_the_run_is_told_once_the_apply_has_been_repeated() -> None:
    async def scenario(position: int) -> bool:
        async with open_world() as world:
            await world.apply(spec())
            await world.context.clock.sleep(10)
            run_id = await run_on(world, spec(), "work-iad-1")
            with dying(world.transport, after_requests(position)) as death:
                await world.apply(spec("1"))
            if death.is_dead:
                await world.context.clock.sleep(120)
                assert (await world.apply(spec("1"))).is_success
            await forget_destroyed(world)
            await is_told(world, run_id)
            return death.is_dead

    position = 0
    while await scenario(position):
        position += 1
    assert position > 5
