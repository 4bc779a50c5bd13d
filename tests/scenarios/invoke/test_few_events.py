"""However few events a machine comes with, the same is told of it and done about it."""

import pytest

from reconciler.engine.faults.settings import Behaviour, Settings
from reconciler.invoke.runs import list_runs
from reconciler.model.report import Status
from reconciler.model.run_policy import Override
from reconciler.operations.status import status
from reconciler.slots.run_records import records_of
from tests.support.world import World, spec_of, task_spec

FEW = [
    pytest.param(count, marks=pytest.mark.world(Settings(behaviour=Behaviour(events_shown=count))))
    for count in (1, 5, 20)
]
SERVICE = """
version: 1
name: stack
apps:
  app:
    image: i
    services:
      web: {command: [run, '3', exit, '1'], restart: always, rollout: {min_healthy: 0s}}
"""


async def live(world: World) -> dict[int, object]:
    """The end of the run before, in each record of a run."""
    [machine] = await world.context.client.list_machines("app") or ()
    return {number: record.previous and record.previous.code for number, record in records_of(machine.metadata).items()}


@pytest.mark.parametrize("count", FEW)
async def test_runs_their_ends_and_the_last_outcome_are_told(world: World, count: int) -> None:
    spec = task_spec("[say, hello]", count="1", extra="        overrides: {args: true}")
    await world.apply(spec)
    for code in (3, 4, 5):
        run = await world.invoke(spec, override=Override(args=("exit", str(code))))
        assert run.outcome.exit_code == code
        await world.context.clock.sleep(5)
    found = await list_runs(world.context, "app", stack="stack")
    assert [run.info.outcome.exit_code for run in found if run.info.outcome] == [5, 4, 3]
    assert set((await live(world)).values()) == {None, 3, 4}, "each record keeps how the run before it ended"
    [row] = (await status(world.session, spec)).slots
    assert row.last_outcome == "exited 5"


@pytest.mark.parametrize("count", FEW)
async def test_only_a_machine_that_does_not_come_with_all_its_events_is_asked_for_them(
    world: World, count: int
) -> None:
    spec = task_spec("[exit, '0']", count="3")
    await world.apply(spec)
    await world.context.clock.sleep(5)
    runs = [await world.invoke(spec) for _ in range(4)]
    world.transport.requests.clear()
    found = await list_runs(world.context, "app", stack="stack")
    assert {one.info.id for one in found} == {run.id for run in runs}
    assert all(one.info.outcome and one.info.outcome.exit_code == 0 for one in found)
    asked = [request.split("/")[-2] for request in world.transport.requests[1:]]
    assert sorted(asked) == sorted(one.id for one in world.machines() if len(one.events) > count)


@pytest.mark.parametrize("count", FEW)
async def test_restarts_are_counted_and_a_service_that_does_not_stay_up_is_seen(world: World, count: int) -> None:
    spec = spec_of(SERVICE)
    await world.apply(spec)
    await world.context.clock.sleep(40)
    [machine] = world.machines()
    restarts = sum(1 for event in machine.events if event.type == "exit")
    assert restarts > 3
    [row] = (await status(world.session, spec)).slots
    assert row.restarts == restarts
    watched = spec_of(SERVICE.replace("0s", "10s"))
    report = await world.apply(watched)
    assert [entry.status for entry in report.entries] == [Status.FAILED]


@pytest.mark.parametrize("count", FEW)
async def test_a_run_past_its_deadline_is_ended_by_whoever_queues(world: World, count: int) -> None:
    spec = task_spec("[run, '100000']", count="1", extra="        timeout: 60s")
    await world.apply(spec)
    first = await world.invoke(spec, is_waiting=False)
    await world.context.clock.sleep(100)
    second = await world.invoke(spec, queue_timeout_s=30.0, is_waiting=False)
    assert second.slot is not None
    assert world.machines()[0].runs == 2
    assert f"{first.id} was past its deadline, and nobody watched it: stopped" in world.said


@pytest.mark.parametrize("count", FEW)
async def test_an_update_that_is_taken_back_is_seen(world: World, count: int) -> None:
    await world.apply(task_spec("[exit, '0']", count="1"))
    world.engine.faults.add("revert_update")
    report = await world.apply(task_spec("[exit, '1']", count="1"))
    [entry] = report.entries
    assert (entry.status, "reverted" in entry.detail) == (Status.FAILED, True), entry.detail
