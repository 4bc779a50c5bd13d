"""Waiting for a busy machine: few calls, in turn within a process, and no reason to give up that passes."""

import asyncio
from collections import Counter

import pytest

from reconciler.engine.faults.settings import LATENCIES, Settings
from reconciler.invoke.invoke import InvokeOptions, begin
from reconciler.invoke.pool_cache import KnownPool
from reconciler.model.run import NeverStarted, OutcomeName
from tests.support.faults import FAULTS, shape
from tests.support.world import World, open_world, task_spec

FLY = Settings(latency=LATENCIES["fly"])


async def busy(world: World, *, seconds: int = 100, count: str = "1") -> None:
    spec = task_spec(f"[run, '{seconds}', exit, '3']", count=count)
    await world.apply(spec)
    for _ in range(int(count)):
        await world.invoke(spec, is_waiting=False)


async def test_the_calls_of_a_wait(world: World) -> None:
    await busy(world, seconds=40)
    world.transport.requests.clear()
    run = await world.invoke(task_spec("[run, '40', exit, '3']", count="1"))
    assert run.outcome.exit_code == 3
    calls = [shape(request).removeprefix("/apps/*") for request in world.transport.requests]
    machine = "/apps/*/machines/*"
    look = [f"GET {machine}/wait", f"GET {machine}"]
    assert calls == [
        "GET /apps/*/machines",
        *look,  # a slice of 15 s
        *look,
        *look,  # it has ended
        f"POST {machine}/lease",
        f"GET {machine}",
        f"POST {machine}/metadata/reconciler_r1",
        f"POST {machine}/start",
        f"GET {machine}",
        f"DELETE {machine}/lease",
        f"GET {machine}/wait",
        f"GET {machine}",
    ]


@pytest.mark.slow
@pytest.mark.world(FLY)
async def test_twenty_waiters_ask_each_machine_less_than_once_a_second_and_list_once(world: World) -> None:
    await busy(world, seconds=60, count="2")
    world.transport.requests.clear()
    world.engine.faults.add("late_reply", seconds=0.1, times=-1)
    began = world.context.clock.monotonic()
    spec = task_spec("[run, '60', exit, '3']", count="2")
    runs = await asyncio.gather(*(world.invoke(spec, queue_timeout_s=3600.0) for _ in range(20)))
    took_s = world.context.clock.monotonic() - began
    assert {run.outcome.exit_code for run in runs} == {3}
    assert world.runtime.most_at_once_on_a_machine == 1
    assert took_s < 11 * 60 * 1.1  # ten rounds, and the one that was going on
    calls = Counter(shape(request) for request in world.transport.requests)
    assert calls["GET /apps/*/machines"] <= 20 * (1 + took_s // 300)
    assert calls["GET /apps/*/machines/*/wait"] / took_s < 2 * 1.0
    at_most = sum(range(2, 22, 2))  # each waiter once in each round
    assert calls["POST /apps/*/machines/*/lease"] < at_most * 1.5


async def test_the_little_that_rounding_leaves_of_a_deadline_is_no_time(world: World) -> None:
    await world.context.clock.sleep(2**20)  # where the clock steps by 2e-10 s
    spec = task_spec(count="1")
    await world.apply(spec)
    await world.context.clock.sleep(10)
    held = world.machines()[0].id
    await world.context.client.leases.acquire("app", held, ttl_s=1000, description="someone else's")
    run = await world.invoke(spec, queue_timeout_s=3 + 1e-10, key="k")
    assert run.outcome.name is OutcomeName.BUSY


async def test_in_one_process_they_come_in_turn_and_only_the_first_asks(world: World) -> None:
    await busy(world, seconds=30)
    spec = task_spec("[run, '30', exit, '3']", count="1")
    [pool] = spec.tasks
    known, turn = KnownPool(app="app", pool="work", stack="stack"), asyncio.Semaphore(1)
    order: list[int] = []

    async def one(number: int) -> None:
        await world.context.clock.sleep(number / 10)
        options = InvokeOptions(queue_timeout_s=3600.0)
        claimed = await begin(world.context, pool, stack="stack", options=options, known=known, turn=turn)
        assert not isinstance(claimed, type(None))
        order.append(number)

    world.transport.requests.clear()
    await asyncio.gather(*(one(number) for number in range(6)))
    assert order == list(range(6))
    calls = Counter(shape(request) for request in world.transport.requests)
    assert calls["POST /apps/*/machines/*/lease"] <= 6 * 2
    assert calls["GET /apps/*/machines/*/wait"] <= 6 * 4


async def test_a_turn_that_does_not_come_in_time_ends_as_busy_and_a_stop_ends_it_at_once(world: World) -> None:
    await busy(world, seconds=1000)
    [pool] = task_spec("[run, '1000', exit, '3']", count="1").tasks
    turn, stop = asyncio.Semaphore(1), asyncio.Event()
    known = KnownPool(app="app", pool="work", stack="stack")

    async def one(timeout_s: float, stop: asyncio.Event | None = None) -> object:
        options = InvokeOptions(queue_timeout_s=timeout_s)
        return await begin(world.context, pool, stack="stack", options=options, known=known, turn=turn, stop=stop)

    first = asyncio.ensure_future(one(900.0))
    await world.context.clock.sleep(1)
    ended = await one(20.0)
    assert getattr(ended, "name", None) is OutcomeName.BUSY
    stopped = asyncio.ensure_future(one(900.0, stop))
    await world.context.clock.sleep(1)
    stop.set()
    assert getattr(await stopped, "name", None) is OutcomeName.INTERRUPTED
    assert getattr(await first, "name", None) is OutcomeName.BUSY
    assert not turn.locked()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_while_it_waits_does_not_end_the_wait(fault: str) -> None:
    async def scenario(position: int) -> None:
        async with open_world() as world:
            await busy(world, seconds=40)
            world.transport.strike(fault, ahead=position)
            run = await world.invoke(task_spec("[run, '40', exit, '3']", count="1"))
            assert run.outcome.exit_code == 3
            assert len(world.runtime.starts) == 2

    for position in range(1, 7):
        await scenario(position)


async def test_a_machine_that_an_apply_adds_meanwhile_is_found(world: World) -> None:
    await busy(world, seconds=4000)
    spec = task_spec("[run, '4000', exit, '3']", count="1")
    waiting = asyncio.ensure_future(world.invoke(spec, queue_timeout_s=2000.0, is_waiting=False))
    await world.context.clock.sleep(30)
    await world.apply(task_spec("[run, '4000', exit, '3']", count="2"))
    run = await waiting
    assert run.slot
    assert run.slot.name == "work-iad-1"


@pytest.mark.parametrize(
    ("fault", "cause", "says"),
    [
        ("host_capacity", NeverStarted.CAPACITY, "could not reserve"),
        ("no_capacity", NeverStarted.CAPACITY, "no capacity"),
        ("host_maintenance", NeverStarted.HOST, "disabled"),
        ("governor", NeverStarted.HOST, "governor"),
        ("manifest_failed", NeverStarted.IMAGE, "manifest"),
        ("trial", NeverStarted.QUOTA, "payment"),
    ],
)
async def test_what_kept_it_from_starting_is_told_with_its_remedy(
    world: World, fault: str, cause: NeverStarted, says: str
) -> None:
    spec = task_spec(count="2")
    await world.apply(spec)
    world.engine.faults.add(fault, calls=("start",), times=-1)
    run = await world.invoke(spec)
    outcome = run.outcome
    assert (outcome.name, outcome.exit_code, outcome.cause) == (OutcomeName.NEVER_STARTED, 121, cause)
    assert says in outcome.message
    assert outcome.remedy
    assert not world.runtime.starts


async def test_an_image_that_cannot_be_pulled_is_told_from_the_machines_log(world: World) -> None:
    spec = task_spec(count="1")
    await world.apply(spec)
    world.engine.faults.add("unpullable")
    outcome = (await world.invoke(spec)).outcome
    assert (outcome.name, outcome.cause) == (OutcomeName.NEVER_STARTED, NeverStarted.IMAGE)
    assert "unable to pull image" in outcome.message


async def test_a_lease_that_is_in_the_way_is_no_reason_for_more_machines(world: World) -> None:
    spec = task_spec("[exit, '0']", count="1")
    await world.apply(spec)
    held = world.machines()[0].id
    await world.context.client.leases.acquire("app", held, ttl_s=120, description="someone else's")
    run = await world.invoke(spec, queue_timeout_s=5.0)
    assert run.outcome.name is OutcomeName.BUSY
    assert "work-iad-0 (leased)" in run.outcome.message
    assert "`reconciler unlock`" in (run.outcome.remedy or "")
    assert "count" not in (run.outcome.remedy or "")
