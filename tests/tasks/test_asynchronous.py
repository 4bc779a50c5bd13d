"""Tasks from asyncio code, without the YAML: on a whole engine in process, on virtual time."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from reconciler.errors import LogsIncompleteError, RunFailedError, UnobservedError
from reconciler.model.run import NeverStarted, OutcomeName, RunState
from reconciler.tasks import AsyncRun, AsyncTasks, NotStartedError, ReconcilerError
from tests.support.faults import shape
from tests.support.log_endpoint import LogEndpoint, refused
from tests.support.world import TOKEN, World, open_world, spec_of, task_spec

SPEC = task_spec("[say, hello, run, '5', exit, '3']", count="2")


@asynccontextmanager
async def opened(world: World, **options: object) -> AsyncIterator[AsyncTasks]:
    tasks = AsyncTasks(
        "app",
        token=TOKEN,
        url="http://127.0.0.1/v1/",
        log_delay_s=0.0,
        clock=world.context.clock,
        transport=world.transport,
        **options,  # type: ignore[arg-type]
    )
    yield tasks


async def test_a_run_is_a_call_with_an_outcome_and_its_output(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(SPEC)
        await world.context.clock.sleep(60)
        run = await tasks.invoke("work")
        assert run.info.state is RunState.RUNNING
        lines = [line.message async for line in run.logs()]
        outcome = await run.wait()
        assert (lines, outcome.name, outcome.exit_code) == (["hello"], OutcomeName.FAILED, 3)
        assert run.info.state is RunState.ENDED
        assert [line.message async for line in run.logs()] == ["hello"]
        assert [info.id for info in await tasks.runs("work")] == [run.id]
        again = await tasks.find(run.id)
        assert (await again.wait()).exit_code == 3
        assert [line.message async for line in again.logs()] == ["hello"]


async def test_runs_are_listed_from_a_time_on_and_where_they_failed(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(task_spec("[run, '1']", count="1", extra="        overrides: {args: true}\n"))

        async def ended(*args: str) -> str:
            run = await tasks.invoke("work", args=args)
            await run.wait()
            return run.id

        old = await ended("exit", "3")
        await world.context.clock.sleep(7200)
        failed, good = await ended("exit", "4"), await ended("exit", "0")

        async def listed(**options: Any) -> list[str]:
            return [info.id for info in await tasks.runs("work", **options)]

        hour = timedelta(hours=1)
        assert await listed() == [good, failed, old]
        assert await listed(since=hour) == await listed(since=world.context.clock.now() - hour) == [good, failed]
        assert await listed(failed=True) == [failed, old]
        assert await listed(since=hour, failed=True) == [failed]


async def test_tasks_that_were_closed_are_opened_again(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(SPEC)
        first = await tasks.invoke("work")
        await first.wait()
        await tasks.aclose()
        assert (await (await tasks.invoke("work")).wait()).exit_code == 3
        assert (await (await tasks.find(first.id)).wait()).exit_code == 3


async def test_args_variables_and_the_timeout_come_from_the_marks(world: World) -> None:
    async with opened(world) as tasks:
        extra = "        args: [exit, '1']\n        overrides: {args: true, env: [A]}\n        timeout: 60s\n"
        await world.apply(task_spec("[run, '5']", count="1", extra=extra))
        run = await tasks.invoke("work", args=["exit", "9"], env={"A": "1"})
        assert (await run.wait()).exit_code == 9
        assert world.runtime.starts[-1].commands[0].env["A"] == "1"
        long = await tasks.invoke("work", args=["run", "1000"])
        assert (await long.wait()).name is OutcomeName.TIMED_OUT
        with pytest.raises(NotStartedError) as refused:
            await tasks.invoke("work", env={"B": "1"})
        assert refused.value.outcome.name is OutcomeName.REFUSED


async def test_the_calls_of_the_second_run_and_of_all_later_ones(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(task_spec("[exit, '0']", count="1"))
        await world.context.clock.sleep(60)
        for _ in range(3):
            world.transport.requests.clear()
            assert (await (await tasks.invoke("work")).wait()).exit_code == 0
        calls = [shape(request) for request in world.transport.requests]
        machine = "/apps/*/machines/*"
        assert [call.replace("reconciler_r2", "reconciler_r*") for call in calls] == [
            f"POST {machine}/lease",
            f"GET {machine}",
            f"POST {machine}/metadata/reconciler_r*",
            f"POST {machine}/start",
            f"GET {machine}",
            f"DELETE {machine}/lease",
            f"GET {machine}/wait",
            f"GET {machine}",
        ]


async def test_many_at_once_share_no_machine_and_come_in_turn(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(SPEC)

        async def one() -> str:
            run = await tasks.invoke("work", queue_timeout="1h")
            assert (await run.wait()).exit_code == 3
            return run.id

        ids = await asyncio.gather(*(one() for _ in range(20)))
        assert len(set(ids)) == 20 == len(world.runtime.starts)
        assert world.runtime.most_at_once_on_a_machine == 1
        calls = Counter(shape(request) for request in world.transport.requests)
        assert calls["POST /apps/*/machines/*/lease"] <= 20 * 3  # some are met while they settle


async def test_a_list_that_is_always_refused_ends_after_the_queue_timeout(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(SPEC)
        world.engine.faults.add("rate_limited", calls=("list",), times=-1)
        began = world.context.clock.monotonic()
        with pytest.raises(NotStartedError, match="the machines of work could not be listed within 30 s") as ended:
            await tasks.invoke("work", queue_timeout="30s")
        assert ended.value.outcome.name is OutcomeName.BUSY
        assert "raise `queue_timeout`" in (ended.value.hint or "")
        assert world.context.clock.monotonic() - began == pytest.approx(30, abs=1)


async def test_one_key_is_one_run_whoever_asks(world: World) -> None:
    async with opened(world) as tasks, opened(world) as others:
        await world.apply(SPEC)
        runs = await asyncio.gather(*(one.invoke("work", key="k") for one in (tasks, others) for _ in range(3)))
        assert len({run.id for run in runs}) == 1
        assert {outcome.exit_code for outcome in await asyncio.gather(*(run.wait() for run in runs))} == {3}
        assert len(world.runtime.starts) == 1


async def test_a_wait_that_is_given_up_ends_neither_the_run_nor_another_wait(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(task_spec("[run, '60', exit, '3']", count="1"))
        run = await tasks.invoke("work")
        other = asyncio.ensure_future(run.wait())
        with pytest.raises(TimeoutError):
            await run.wait(timeout_s=5)
        assert (await other).exit_code == 3


async def test_cancel_ends_it_once(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(task_spec("[run, '600']", count="1"))
        run = await tasks.invoke("work")
        assert await run.cancel() is True
        assert (await run.wait()).name is OutcomeName.CANCELLED
        assert await run.cancel() is False


async def test_what_cannot_start_is_raised_with_its_outcome(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(task_spec("[run, '600']", count="1"))
        with pytest.raises(ReconcilerError, match="no task 'other'") as unknown:
            await tasks.invoke("other")
        assert "work" in (unknown.value.hint or "")
        with pytest.raises(ReconcilerError, match="no run"):
            await tasks.find("work-iad-0/01ARZ3NDEKTSV4RRFFQ69G5FAV")
        await tasks.invoke("work")
        with pytest.raises(NotStartedError) as busy:
            await tasks.invoke("work", on_busy="fail")
        assert busy.value.outcome.name is OutcomeName.BUSY
        await world.context.clock.sleep(700)
        world.engine.faults.add("host_capacity", calls=("start",), times=-1)
        with pytest.raises(NotStartedError) as full:
            await tasks.invoke("work")
        assert full.value.outcome.cause is NeverStarted.CAPACITY


async def test_two_stacks_with_a_task_of_one_name_are_told_apart(world: World) -> None:
    text = """
version: 1
name: {}
apps:
  app:
    image: i
    tasks:
      work: {{command: [exit, '{}'], regions: [{}]}}
"""

    async with opened(world) as tasks, opened(world, stack="b") as chosen:
        await world.apply(spec_of(text.format("a", 1, "iad")))
        await world.apply(spec_of(text.format("b", 2, "ams")))
        with pytest.raises(ReconcilerError, match="several stacks"):
            await tasks.invoke("work")
        assert (await (await chosen.invoke("work")).wait()).exit_code == 2


async def test_machines_that_an_apply_replaced_are_found_anew(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(task_spec("[exit, '0']", count="1"))
        await (await tasks.invoke("work")).wait()
        for machine in world.machines():
            await world.engine.destroy("app", machine.id, None, force=True)
        await world.context.clock.sleep(60)
        await world.apply(task_spec("[exit, '4']", count="1"))
        assert (await (await tasks.invoke("work")).wait()).exit_code == 4


async def test_a_wait_for_a_rate_limit_is_progress() -> None:
    said: list[str] = []
    async with open_world() as world, opened(world, emit=said.append) as tasks:
        await world.apply(SPEC)
        endpoint = LogEndpoint(world)
        run = await tasks.invoke("work")
        said.clear()
        endpoint.strike(refused(429, **{"retry-after": "20"}), times=1)
        assert [line.message async for line in run.logs()] == ["hello"]
        [announced] = said
        assert re.fullmatch(r"rate limited by the platform: 'read logs' waits (19|20) s", announced)


@pytest.mark.parametrize("has_ended", [False, True])
async def test_output_that_cannot_be_read_to_its_end_is_an_error_after_its_lines(world: World, has_ended: bool) -> None:
    async with opened(world) as tasks:
        await world.apply(SPEC)
        run = await tasks.invoke("work")
        if has_ended:
            await run.wait()
        endpoint = LogEndpoint(world)
        endpoint.strike(refused(401), ahead=1 if has_ended else 3)
        lines = run.logs()
        assert (await anext(lines)).message == "hello"
        with pytest.raises(LogsIncompleteError, match="401"):
            await anext(lines)
        assert (await run.wait()).exit_code == 3


async def test_a_run_that_was_lost_from_sight_is_not_taken_for_ended(world: World) -> None:
    async with opened(world, lost_after_s=60.0) as tasks:
        await world.apply(task_spec("[say, one, run, '600', say, two, exit, '3']", count="1"))
        run = await tasks.invoke("work")
        await world.context.clock.sleep(5)
        world.engine.faults.add("refuse_connection", times=-1)
        reading = asyncio.ensure_future(_lines_of(run))
        lost = await run.wait()
        assert (lost.name, lost.exit_code, run.info.state) == (OutcomeName.LOST, 122, RunState.RUNNING)
        assert run.id in (lost.remedy or "")
        with pytest.raises(UnobservedError):
            await reading
        world.transport.relent()
        assert (await run.wait()).exit_code == 3
        assert run.info.state is RunState.ENDED
        assert await _lines_of(run) == ["one", "two"]


async def test_a_cancel_whose_end_is_not_seen_is_no_success(world: World) -> None:
    async with opened(world, lost_after_s=60.0) as tasks:
        await world.apply(task_spec("[run, '600']", count="1"))
        run = await tasks.invoke("work")
        world.transport.before = lambda request: _go_away_after(world, request.url.path, "/stop")
        with pytest.raises(UnobservedError):
            await run.cancel()
        world.transport.before = lambda _request: None
        world.transport.relent()
        assert (await run.wait()).name is OutcomeName.CANCELLED


def _go_away_after(world: World, path: str, last: str) -> None:
    """From the request after the one whose path ends so, the API is away."""
    if path.endswith(last):
        world.engine.faults.add("refuse_connection", after=1, times=-1)


async def _lines_of(run: AsyncRun) -> list[str]:
    return [line.message async for line in run.logs()]


async def test_a_run_is_checked_and_its_error_says_how_it_ended_and_what_to_do(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(task_spec("[run, '5', exit, '3']", count="1"))
        run = await tasks.invoke("work")
        assert repr(run) == f"AsyncRun(id={run.id!r}, state='running')"
        with pytest.raises(RunFailedError) as failed:
            await run.check()
        assert failed.value.outcome == await run.wait()
        assert not failed.value.outcome.ok
        assert failed.value.outcome.name == "failed"
        assert run.id in str(failed.value)
        assert f'`find("{run.id}").logs()` shows it again' in str(failed.value)
        slow = await tasks.invoke("work", timeout="2s")
        with pytest.raises(RunFailedError) as late:
            await slow.check()
        remedy = late.value.outcome.remedy
        assert late.value.outcome.name is OutcomeName.TIMED_OUT
        assert remedy
        assert str(late.value).endswith(f"; {remedy}")
        assert late.value.hint == remedy


async def test_a_run_that_succeeds_is_ok(world: World) -> None:
    async with opened(world) as tasks:
        await world.apply(task_spec("[run, '5', exit, '0']", count="1"))
        run = await tasks.invoke("work")
        with pytest.raises(TimeoutError):
            await run.check("1s")
        assert (await run.check()).ok
