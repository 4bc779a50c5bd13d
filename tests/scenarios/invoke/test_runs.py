"""Runs from outside: found, waited for, cancelled, read and ended at their deadline by someone else."""

import asyncio

import pytest
from msgspec.structs import replace

from reconciler.engine.faults.settings import LATENCIES, Behaviour, Settings
from reconciler.invoke.attach import cancel_run, read_run_logs, wait_run
from reconciler.invoke.runs import FoundRun, find_run, list_runs
from reconciler.model.run import OutcomeName, RunState
from tests.support.world import World, open_world, task_spec


async def begun(world: World, command: str, **options: object) -> FoundRun:
    """A run that goes on, as someone else finds it."""
    spec = task_spec(command, **{key: options.pop(key) for key in ("count", "extra") if key in options})  # type: ignore[arg-type]
    await world.apply(spec)
    await world.context.clock.sleep(10)
    run = await world.invoke(spec, is_waiting=False, **options)
    found = await find_run(world.context, "app", str(run.id), stack="stack")
    assert found
    assert found.info.state is RunState.RUNNING
    return found


@pytest.mark.parametrize("latency", ["small", "fly"])
async def test_a_run_is_waited_for_by_its_id_and_its_output_is_whole(latency: str) -> None:
    async with open_world(Settings(latency=LATENCIES[latency])) as world:
        run = await begun(world, "[say, one, run, '20', say, two, exit, '7']")
        lines: list[str] = []
        ended = await wait_run(world.context, run, take_line=lambda line: lines.append(line.message))
        assert ended.outcome
        assert (ended.outcome.name, ended.outcome.exit_code) == (OutcomeName.FAILED, 7)
        assert lines == ["one", "two"]
        again = await find_run(world.context, "app", run.info.id, stack="stack")
        assert again
        assert (await wait_run(world.context, again)).outcome == ended.outcome


async def test_runs_are_listed_newest_first_with_their_ends_and_starters(world: World) -> None:
    spec = task_spec("[run, '5', exit, '3']", count="2")
    await world.apply(spec)
    await world.context.clock.sleep(1)
    runs = [await world.invoke(spec) for _ in range(3)]
    last = await world.invoke(spec, is_waiting=False)
    listed = await list_runs(world.context, "app", stack="stack", task="work")
    assert [run.info.id for run in listed] == [last.id, *(run.id for run in reversed(runs))]
    assert [run.info.state for run in listed] == [RunState.RUNNING] + [RunState.ENDED] * 3
    assert {run.info.who for run in listed} == {"tester"}
    assert await list_runs(world.context, "app", stack="another") == []
    assert await list_runs(world.context, "app", stack="stack", task="other") == []


async def test_cancelling_ends_this_run_by_its_signal_and_says_so_everywhere(world: World) -> None:
    run = await begun(world, "[run, '1000']", count="1")
    waiting = asyncio.ensure_future(wait_run(world.context, run))
    assert await cancel_run(world.context, run)
    ended = await waiting
    assert ended.outcome
    assert (ended.outcome.name, ended.outcome.exit_code) == (OutcomeName.CANCELLED, 130)
    again = await find_run(world.context, "app", run.info.id, stack="stack")
    assert again
    assert not await cancel_run(world.context, again)


async def test_cancelling_a_run_that_is_over_leaves_the_next_one_alone(world: World) -> None:
    old = await begun(world, "[run, '30']", count="1")
    await world.context.clock.sleep(60)
    spec = task_spec("[run, '30']", count="1")
    await world.invoke(spec, is_waiting=False)
    assert not await cancel_run(world.context, old)  # as it was seen while it ran
    assert [machine.state for machine in world.machines()] == ["started"]


async def test_the_logs_of_a_run_are_those_of_no_other(world: World) -> None:
    for word in ("first", "second", "third"):
        spec = task_spec(f"[say, {word}, run, '3']", count="1")
        await world.apply(spec)
        await world.context.clock.sleep(1)
        await world.invoke(spec)
    listed = await list_runs(world.context, "app", stack="stack")
    for run, word in zip(listed, ("third", "second", "first"), strict=True):
        lines: list[str] = []
        await read_run_logs(world.context, run, lambda line, to=lines: to.append(line.message), log_delay_s=0)  # type: ignore[misc]
        assert lines == [word]


async def test_a_run_past_its_deadline_is_ended_by_a_later_wait(world: World) -> None:
    run = await begun(world, "[run, '1000']", extra="        timeout: 60s", count="1")
    await world.context.clock.sleep(300)
    assert world.machines()[0].state == "started"  # whoever watched it is gone
    ended = await wait_run(world.context, run)
    assert ended.outcome
    assert (ended.outcome.name, ended.outcome.exit_code) == (OutcomeName.TIMED_OUT, 124)
    [told] = await list_runs(world.context, "app", stack="stack")
    assert told.info.outcome
    assert told.info.outcome.name is OutcomeName.TIMED_OUT


async def test_a_wait_for_a_run_whose_exit_is_reported_late_tells_its_code() -> None:
    behaviour = replace(Behaviour(), exit_event_lag_s=2.0)
    async with open_world(Settings(behaviour=behaviour)) as world:
        await begun(world, "[run, '30', exit, '5']", count="1")
        while world.machines()[0].state != "stopped":
            await world.context.clock.sleep(0.1)
        [run] = await list_runs(world.context, "app", stack="stack")
        assert run.info.outcome
        assert run.info.outcome.name is OutcomeName.LOST  # as far as can be told now
        ended = await wait_run(world.context, run)
        assert ended.outcome
        assert ended.outcome.exit_code == 5


async def test_an_invoke_that_queues_ends_a_run_past_its_deadline_and_no_other(world: World) -> None:
    await begun(world, "[run, '1000']", extra="        timeout: 60s", count="1")
    spec = task_spec("[run, '1000']", extra="        timeout: 60s", count="1")
    early = await world.invoke(spec, queue_timeout_s=10.0)
    assert early.outcome.name is OutcomeName.BUSY
    assert world.machines()[0].state == "started"
    late = await world.invoke(spec, queue_timeout_s=200.0)
    assert late.outcome.name is OutcomeName.TIMED_OUT
    assert len(world.runtime.starts) == 2
    assert any("past its deadline" in line for line in world.said)


async def test_a_run_ended_by_its_timeout_is_told_so_where_only_a_later_record_keeps_its_end(world: World) -> None:
    spec = task_spec("[run, '1000']", count="1")
    await world.apply(spec)
    await world.context.clock.sleep(10)
    first = await world.invoke(spec, timeout_s=20.0)
    cancelled = await world.invoke(spec, is_waiting=False)
    [found] = [run for run in await list_runs(world.context, "app", stack="stack") if run.info.id == cancelled.id]
    await world.context.clock.sleep(10)
    assert await cancel_run(world.context, found)
    await world.invoke(spec, timeout_s=20.0)
    [machine] = world.machines()
    world.engine.store.save(replace(machine, events=machine.events[:2]))  # only the newest run's are left
    found_runs = await list_runs(world.context, "app", stack="stack")
    told = {run.info.id: run.info.outcome.name for run in found_runs if run.info.outcome}
    assert (told[str(first.id)], told[str(cancelled.id)]) == (OutcomeName.TIMED_OUT, OutcomeName.CANCELLED)
