"""Runs that the platform started again by itself: one run of several attempts, whoever reads, waits or ends it."""

import asyncio
from collections.abc import Callable

import pytest

from reconciler.engine.faults.settings import LATENCIES, Settings
from reconciler.errors import LogsIncompleteError
from reconciler.invoke.attach import cancel_run, read_run_logs, wait_run
from reconciler.invoke.runs import FoundRun, find_run, list_runs
from reconciler.machines_api.logs import LogLine
from reconciler.model.run import OutcomeName, RunState
from reconciler.model.spec import Spec
from tests.support.world import World, open_world, task_spec

Lines = list[tuple[int, str]]
TWICE = "        restart: {policy: on-failure, max_retries: 2}\n"
ALWAYS = "        restart: always\n"


def failing(extra: str = TWICE, command: str = "[say, hello, run, '5', exit, '3']") -> Spec:
    return task_spec(command, count="1", extra=extra)


async def ready(world: World, spec: Spec) -> None:
    await world.apply(spec)
    await world.context.clock.sleep(120)


async def found(world: World, run_id: str | None) -> FoundRun:
    run = await find_run(world.context, "app", run_id or "", stack="stack")
    assert run
    return run


def into(lines: Lines) -> Callable[[LogLine], None]:
    def take(line: LogLine) -> None:
        lines.append((line.attempt, line.message))

    return take


@pytest.mark.parametrize("latency", ["small", "fly"])
@pytest.mark.parametrize("delay_s", [0.0, 3.0])
async def test_an_invoke_shows_all_attempts_told_apart(latency: str, delay_s: float) -> None:
    async with open_world(Settings(latency=LATENCIES[latency])) as world:
        await ready(world, failing())
        lines: Lines = []
        run = await world.invoke(failing(), take_line=into(lines), log_delay_s=delay_s)
        assert (run.outcome.exit_code, run.attempts) == (3, 3)
        assert lines == [(1, "hello"), (2, "hello"), (3, "hello")]


async def test_the_log_of_a_run_is_all_of_its_attempts_and_none_of_another_run(world: World) -> None:
    await ready(world, failing())
    runs = [await world.invoke(failing()) for _ in range(2)]
    for run in runs:
        lines: Lines = []
        one = await found(world, run.id)
        await read_run_logs(world.context, one, into(lines), log_delay_s=0.0)
        assert lines == [(1, "hello"), (2, "hello"), (3, "hello")]
        assert one.info.attempts == 3
    assert len(await list_runs(world.context, "app", stack="stack")) == 2


async def test_whoever_follows_or_reads_a_run_in_progress_sees_its_attempts(world: World) -> None:
    await ready(world, failing())
    run = await world.invoke(failing(), is_waiting=False)
    await world.context.clock.sleep(7)
    one = await found(world, run.id)
    assert (one.info.state, one.info.attempts) == (RunState.RUNNING, 2)
    read: Lines = []
    await read_run_logs(world.context, one, into(read), log_delay_s=0.0)
    assert read == [(1, "hello"), (2, "hello")]
    followed: Lines = []
    ended = await wait_run(world.context, one, take_line=into(followed))
    assert followed == [(1, "hello"), (2, "hello"), (3, "hello")]
    assert ended.attempts == 3


async def test_a_run_without_restarts_costs_no_more_calls_for_its_log(world: World) -> None:
    spec = task_spec("[say, hello, run, '5', exit, '3']", count="1")
    await ready(world, spec)
    world.transport.requests.clear()
    run = await world.invoke(spec, take_line=lambda _line: None, log_delay_s=0.0)
    assert run.attempts == 1
    assert not [request for request in world.transport.requests if request.endswith("/events")]


@pytest.mark.parametrize("after_s", [3, 7, 60, 200, 1000])
async def test_a_run_that_was_restarted_however_often_is_cancelled(world: World, after_s: int) -> None:
    spec = failing(ALWAYS)
    await ready(world, spec)
    run = await world.invoke(spec, is_waiting=False)
    one = await found(world, run.id)
    waiting = asyncio.create_task(wait_run(world.context, one))
    await world.context.clock.sleep(after_s)
    assert not waiting.done()
    assert await cancel_run(world.context, one)
    ended = await waiting
    assert ended.outcome
    assert ended.outcome.name is OutcomeName.CANCELLED
    assert [machine.state for machine in world.machines()] == ["stopped"]


async def test_cancelling_a_restarted_run_that_is_over_leaves_the_next_one_alone(world: World) -> None:
    await ready(world, failing())
    first = await world.invoke(failing(), is_waiting=False)
    old = await found(world, first.id)
    await wait_run(world.context, old)
    await world.invoke(failing(), is_waiting=False)
    await world.context.clock.sleep(7)  # restarted in its turn
    assert not await cancel_run(world.context, old)
    assert [machine.state for machine in world.machines()] == ["started"]


async def test_a_restarted_run_is_ended_by_its_timeout(world: World) -> None:
    spec = failing(f"{ALWAYS}        timeout: 60s\n")
    await ready(world, spec)
    began = world.context.clock.monotonic()
    run = await world.invoke(spec)
    assert run.outcome.name is OutcomeName.TIMED_OUT
    assert world.context.clock.monotonic() - began < 75


async def restarted_often(world: World, extra: str = ALWAYS) -> str:
    """A run on a machine that had another one before, restarted until its own start has left the events."""
    spec = failing(extra)
    await ready(world, spec)
    first = await world.invoke(spec, is_waiting=False)
    await cancel_run(world.context, await found(world, first.id))
    await world.context.clock.sleep(10)
    run = await world.invoke(spec, is_waiting=False)
    await world.context.clock.sleep(1000)
    return str(run.id)


async def test_a_run_whose_start_has_left_the_events_is_found_waited_for_and_cancelled(world: World) -> None:
    run_id = await restarted_often(world)
    one = await found(world, run_id)
    assert (one.info.state, one.info.attempts, one.info.started_at) == (RunState.RUNNING, None, None)
    listed = await list_runs(world.context, "app", stack="stack")
    assert listed[0].info.id == run_id
    lines: Lines = []
    with pytest.raises(LogsIncompleteError, match="first attempts"):
        await read_run_logs(world.context, one, into(lines), log_delay_s=0.0)
    assert len(lines) > 20
    waiting = asyncio.create_task(wait_run(world.context, one))
    await world.context.clock.sleep(100)
    assert not waiting.done()
    assert await cancel_run(world.context, one)
    ended = await waiting
    assert ended.outcome
    assert (ended.outcome.name, ended.attempts) == (OutcomeName.CANCELLED, None)


async def test_an_overdue_run_that_was_restarted_is_ended_by_whoever_queues(world: World) -> None:
    extra = f"{ALWAYS}        timeout: 60s\n"
    run_id = await restarted_often(world, extra)
    late = await world.invoke(failing(extra), queue_timeout_s=200.0)
    assert late.outcome.name is OutcomeName.TIMED_OUT  # it had its turn
    assert f"{run_id} was past its deadline, and nobody watched it: stopped" in world.said
