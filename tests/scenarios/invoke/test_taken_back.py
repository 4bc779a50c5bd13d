"""A claim that is given up before its start took effect leaves no trace: neither a run, nor a key."""

import pytest

from reconciler.invoke.invoke import OnBusy
from reconciler.invoke.runs import list_runs
from reconciler.model import marks
from reconciler.model.run import OutcomeName, RunState
from tests.support.faults import at_start, dying
from tests.support.world import World, task_spec

SPEC = task_spec("[run, '5', exit, '3']", count="1")
DIED = "an earlier claim died before its start"


async def applied(world: World, count: str = "1") -> None:
    await world.apply(task_spec("[run, '5', exit, '3']", count=count))
    await world.context.clock.sleep(60)


def traces(world: World) -> list[str]:
    """The keys of run records and of idempotency keys."""
    return [
        key
        for machine in world.machines()
        for key in machine.config["metadata"]
        if key.startswith((marks.RUN, marks.KEY)) and key != marks.REVISION
    ]


async def told(world: World) -> list[RunState]:
    return [run.info.state for run in await list_runs(world.context, "app", stack="stack")]


@pytest.mark.parametrize(
    "fault", ["not_startable", "still_active", "host_capacity", "host_maintenance", "drop_start", "foreign_start"]
)
@pytest.mark.parametrize("key", [None, "K"])
async def test_a_start_that_was_refused_leaves_no_run_and_no_key(world: World, fault: str, key: str | None) -> None:
    await applied(world)
    calls = () if fault == "drop_start" else ("start",)
    world.engine.faults.add(fault, calls=calls, times=1 if fault == "foreign_start" else -1)
    run = await world.invoke(SPEC, start_timeout_s=4.0, on_busy=OnBusy.FAIL, key=key)
    assert run.outcome.name in {OutcomeName.NEVER_STARTED, OutcomeName.BUSY}
    assert traces(world) == []
    theirs = [RunState.RUNNING] if fault == "foreign_start" else []
    assert await told(world) == theirs
    world.transport.relent()
    await world.context.clock.sleep(60)
    again = await world.invoke(SPEC, key=key)
    assert again.outcome.exit_code == 3
    assert not [line for line in world.said if DIED in line]
    assert len(await told(world)) == len(theirs) + 1


async def test_a_machine_that_settles_is_left_for_another_without_a_trace(world: World) -> None:
    await applied(world, "2")
    world.engine.faults.add("not_startable", calls=("start",), times=1)
    assert (await world.invoke(SPEC)).outcome.exit_code == 3
    assert await told(world) == [RunState.ENDED]
    assert len([trace for trace in traces(world) if trace.startswith(marks.RUN)]) == 1


async def test_the_oldest_record_that_made_place_is_put_back(world: World) -> None:
    await applied(world)
    for _ in range(16):
        await world.invoke(SPEC)
    before = dict(world.machines()[0].config["metadata"])
    world.engine.faults.add("host_capacity", calls=("start",), times=-1)
    await world.invoke(SPEC)
    assert world.machines()[0].config["metadata"] == before


async def test_a_claim_that_really_died_is_told_of(world: World) -> None:
    await applied(world)
    with dying(world.transport, at_start) as death:
        await world.invoke(SPEC)
    assert death.is_dead
    await world.context.clock.sleep(60)
    assert await told(world) == [RunState.NOT_STARTED]
    assert (await world.invoke(SPEC)).outcome.exit_code == 3
    assert [line for line in world.said if DIED in line]
