"""From the claim to the confirmed start: never longer than the start timeout, whatever is waited for in between."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.engine.faults.settings import LATENCIES, Latency, Settings
from reconciler.invoke.invoke import InvokeOptions, OnBusy, invoke
from reconciler.invoke.runs import list_runs
from reconciler.model.run import OutcomeName, Run
from reconciler.model.run_policy import Override
from reconciler.model.spec import Spec
from tests.support.faults import FAULTS, at_start, dying
from tests.support.world import World, open_world, task_spec

LONG = task_spec("[run, '1000', exit, '3']", count="1")
OVERRIDABLE = task_spec(
    "[run, '1000']", count="1", extra="        args: [exit, '1']\n        overrides: {args: true}\n"
)
LETTING_GO_S = 10.0  # what the way out takes at most: the record and the lease


async def applied(world: World, spec: Spec = LONG) -> None:
    await world.apply(spec)
    await world.context.clock.sleep(60)


async def timed(world: World, spec: Spec = LONG, **options: Any) -> tuple[Run, float]:
    began = world.context.clock.monotonic()
    run = await world.invoke(spec, **options)
    return run, world.context.clock.monotonic() - began


def assert_free(world: World) -> None:
    now = world.context.clock.now().timestamp()
    assert not [machine.name for machine in world.machines() if machine.lease and machine.lease.expires_at > now]


async def hide_its_start(world: World) -> None:
    await applied(world)
    world.transport.hidden = {"start"}


async def drop_every_start(world: World) -> None:
    await applied(world)
    world.engine.faults.add("drop_start", times=-1)


async def refuse_for_ever(world: World) -> None:
    await applied(world)
    world.engine.faults.add("not_startable", calls=("start",), times=-1)


async def limit_the_rate_for_ever(world: World) -> None:
    await applied(world)
    world.engine.faults.add("rate_limited", calls=("start",), times=-1)


async def leave_a_slot_that_takes_minutes_to_update(world: World) -> None:
    await world.apply(task_spec("[run, '5']", count="1"))
    await world.context.clock.sleep(1)
    await world.invoke(task_spec("[run, '5']", count="1"), is_waiting=False)
    await world.apply(LONG)  # deferred
    await world.context.clock.sleep(60)


SLOW_UPDATES = Settings(latency=replace(Latency(), replace_s=200.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "name", "code"),
    [
        (hide_its_start, OutcomeName.LOST, 122),
        (drop_every_start, OutcomeName.NEVER_STARTED, 121),
        (refuse_for_ever, OutcomeName.NEVER_STARTED, 121),
        (limit_the_rate_for_ever, OutcomeName.NEVER_STARTED, 121),
        (leave_a_slot_that_takes_minutes_to_update, OutcomeName.NEVER_STARTED, 121),
    ],
)
@pytest.mark.parametrize("key", [None, "K"])
async def test_the_start_timeout_holds(
    before: Callable[[World], Awaitable[None]], name: OutcomeName, code: int, key: str | None
) -> None:
    is_slow = before is leave_a_slot_that_takes_minutes_to_update

    async with open_world(SLOW_UPDATES if is_slow else None) as world:
        await before(world)
        run, took_s = await timed(world, start_timeout_s=5.0, key=key)
        assert (run.outcome.name, run.outcome.exit_code) == (name, code), run
        assert took_s <= 5.5
        assert run.outcome.remedy
        if not is_slow:  # the update is under way still: its lease is left to expire
            assert_free(world)
        if name is OutcomeName.LOST:
            assert run.id
            assert f"reconciler wait {run.id}" in run.outcome.remedy
        else:
            assert "5 s" in run.outcome.message or "did not start" in run.outcome.message


async def test_several_slots_that_are_tried_share_the_time(world: World) -> None:
    spec = task_spec("[run, '1000']", count="5")
    await applied(world, spec)
    world.engine.faults.add("drop_start", times=-1)
    run, took_s = await timed(world, spec, start_timeout_s=20.0)
    assert run.outcome.name in {OutcomeName.NEVER_STARTED, OutcomeName.LOST}
    assert took_s <= 20.5
    assert_free(world)


@pytest.mark.world(SLOW_UPDATES)
async def test_an_override_that_takes_minutes_to_put_on_is_bounded_too(world: World) -> None:
    await world.apply(OVERRIDABLE)
    await world.context.clock.sleep(300)
    run, took_s = await timed(world, OVERRIDABLE, start_timeout_s=30.0, override=Override(args=("exit", "4")))
    assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.NEVER_STARTED, 121)
    assert took_s <= 31
    await world.context.clock.sleep(600)
    assert world.runtime.starts == []
    run, _took_s = await timed(world, OVERRIDABLE, start_timeout_s=600.0, override=Override(args=("exit", "4")))
    assert run.outcome.exit_code == 4


async def test_the_time_in_the_queue_is_not_counted(world: World) -> None:
    spec = task_spec("[run, '100', exit, '3']", count="1")
    await applied(world, spec)
    await world.invoke(spec, is_waiting=False)
    run, _took_s = await timed(world, spec, start_timeout_s=5.0, queue_timeout_s=300.0)
    assert run.outcome.exit_code == 3
    held = world.machines()[0].id
    await world.context.client.leases.acquire("app", held, ttl_s=100, description="someone else's")
    run, _took_s = await timed(world, spec, start_timeout_s=5.0, queue_timeout_s=300.0)
    assert run.outcome.exit_code == 3
    await world.context.client.leases.acquire("app", held, ttl_s=100, description="someone else's")
    run, took_s = await timed(world, spec, start_timeout_s=5.0, queue_timeout_s=30.0)
    assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.BUSY, 120)
    assert 29 < took_s < 35


@pytest.mark.parametrize("call", ["lease", "get", "metadata", "start", "list"])
async def test_a_stop_ends_it_at_any_moment_and_nothing_is_left(world: World, call: str) -> None:
    await applied(world)
    world.engine.faults.add("late_reply", calls=(call,), seconds=8.0)
    stop = asyncio.Event()
    [pool] = LONG.tasks
    invoking = asyncio.ensure_future(invoke(world.context, pool, stack="stack", options=InvokeOptions(), stop=stop))
    await world.context.clock.sleep(1)
    stop.set()
    began = world.context.clock.monotonic()
    run = await invoking
    assert world.context.clock.monotonic() - began < (0.1 if call == "list" else LETTING_GO_S)
    await world.context.clock.sleep(60)
    assert_free(world)
    if world.runtime.starts:
        assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.LOST, 122)
        assert run.id
    else:
        assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.INTERRUPTED, 130)
        assert all("reconciler_r0" not in machine.config["metadata"] for machine in world.machines())


@pytest.mark.world(Settings(latency=LATENCIES["fly"]))
async def test_a_start_whose_answer_is_due_is_told_of_when_it_is_stopped(world: World) -> None:
    await applied(world)
    stop = asyncio.Event()
    [pool] = LONG.tasks
    world.transport.before = lambda request: stop.set() if request.url.path.endswith("/start") else None
    run = await invoke(world.context, pool, stack="stack", options=InvokeOptions(), stop=stop)
    assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.DETACHED, 0)
    assert run.id
    assert_free(world)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_start_that_is_never_seen_is_lost_whatever_else_goes_wrong(fault: str) -> None:
    """A machine that shows `started` and never a newer start event, and one fault at each request."""

    async def count_requests() -> int:
        async with open_world() as world:
            await hide_its_start(world)
            began = len(world.transport.requests)
            await world.invoke(LONG, start_timeout_s=2.0, on_busy=OnBusy.FAIL)
            return min(len(world.transport.requests) - began, 8)  # then it only looks again

    async def scenario(position: int) -> None:
        async with open_world() as world:
            await hide_its_start(world)
            world.transport.strike(fault, ahead=position)
            began = world.context.clock.monotonic()
            try:
                run = await world.invoke(LONG, start_timeout_s=20.0, on_busy=OnBusy.FAIL)
            except Exception as error:  # the API failed before the claim: said, and nothing was begun
                assert type(error).__name__ == "ApiError"  # noqa: PT017
                assert not world.runtime.starts
            else:
                took_s = world.context.clock.monotonic() - began
                assert took_s <= 20 + LETTING_GO_S + 60  # the list before the claim may take its time
                assert run.outcome.exit_code == (122 if world.runtime.starts else run.outcome.exit_code), run
                assert run.outcome.exit_code in {120, 121, 122}
                assert run.id or run.outcome.exit_code != 122
            assert len(world.runtime.starts) <= 1
            await world.context.clock.sleep(130)
            assert_free(world)
            world.transport.relent()
            world.transport.hidden = set()

    for position in range(await count_requests()):
        await scenario(position)


@pytest.mark.parametrize("call", ["update", "start"])
async def test_a_write_under_way_when_the_time_is_over_keeps_its_lease_until_that_expires(
    world: World, call: str
) -> None:
    await leave_a_slot_that_takes_minutes_to_update(world)
    world.engine.faults.add("late_reply", calls=(call,), seconds=9.0)
    run, took_s = await timed(world, start_timeout_s=5.0)
    assert run.outcome.exit_code == (122 if call == "start" else 121)
    assert took_s < 5.5
    [machine] = world.machines()
    assert machine.lease
    assert machine.lease.expires_at > world.context.clock.now().timestamp() + 15
    await world.context.clock.sleep(35)
    assert_free(world)


async def test_a_key_whose_start_is_never_seen_is_run_once_and_attached_to_at_its_end(world: World) -> None:
    spec = task_spec("[run, '100', exit, '3']", count="2")
    await applied(world, spec)
    world.transport.hidden = {"start"}
    run, _took_s = await timed(world, spec, start_timeout_s=5.0, key="K")
    assert run.outcome.exit_code == 122
    run, _took_s = await timed(world, spec, key="K", on_busy=OnBusy.FAIL)
    assert run.outcome.exit_code == 120
    said: list[str] = []
    run, _took_s = await timed(world, spec, key="K", take_line=lambda line: said.append(line.message))
    assert run.outcome.exit_code == 3
    assert len(world.runtime.starts) == 1


async def test_the_exit_of_an_earlier_run_that_comes_late_is_no_end_of_a_claim_that_died() -> None:
    """The exit event comes after the state: a claim that died in between has not run."""
    settings = Settings(behaviour=replace(Settings().behaviour, exit_event_lag_s=4.0))

    async with open_world(settings) as world:
        spec = task_spec("[run, '5', exit, '3']", count="1")
        await applied(world, spec)
        await world.invoke(spec, is_waiting=False)
        await world.context.clock.sleep(6.0)  # at rest, and its exit is not told yet
        with dying(world.transport, at_start) as death:
            await world.invoke(spec, key="K")
        assert death.is_dead
        await world.context.clock.sleep(60)
        states = [run.info.state for run in await list_runs(world.context, "app", stack="stack")]
        assert sorted(state.value for state in states) == ["ended", "not started"]
