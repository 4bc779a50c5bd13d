"""A target that is away while a run goes on: it is asked again until the run may be over, given up, and told of."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from reconciler.errors import ApiError
from reconciler.invoke.attach import wait_run
from reconciler.invoke.invoke import InvokeOptions, invoke
from reconciler.invoke.runs import find_run
from reconciler.model.local_engine import LocalEngine
from reconciler.model.run import OutcomeName, Run, RunInfo, RunState
from reconciler.model.spec import Spec
from reconciler.operations.invoke import cancel_let_go
from reconciler.operations.named_runs import seek_named_run
from tests.support.world import World, open_world, task_spec

pytestmark = pytest.mark.slow

T = TypeVar("T")

TEN_MINUTES = task_spec("[run, '600', exit, '3']", count="1")
ENDLESS = task_spec("[run, '1000000']", count="1")
ONE_MINUTE = task_spec("[run, '1000000']", extra="        timeout: 60s\n", count="1")
NOTICED_S = 120.0  # a parked wait of 65 s, and a look
LOCAL = LocalEngine(find_url=lambda: None, start="reconciler engine start --runtime process")
AWAY: dict[str, dict[str, Any]] = {
    "no connection": {"fault": "refuse_connection"},
    "connection reset": {"fault": "lose_request"},
    "silence": {"fault": "late_reply", "seconds": 100_000.0},
    "503": {"fault": "unavailable"},
    "HTML": {"fault": "html"},
    "429": {"fault": "rate_limited"},
}


def go_away(world: World, how: str = "no connection") -> None:
    world.engine.faults.add(**AWAY[how], times=-1)


async def applied(world: World, spec: Spec) -> None:
    await world.apply(spec)
    await world.context.clock.sleep(60)


@asynccontextmanager
async def invoked(world: World, spec: Spec, **options: Any) -> AsyncIterator["asyncio.Task[Run]"]:
    """An invoke whose run has just begun."""
    await applied(world, spec)
    began = world.context.clock.monotonic()
    invoking = asyncio.ensure_future(world.invoke(spec, **options))
    while not any(line.endswith(": started") for line in world.said):
        await world.context.clock.sleep(0.1)
        assert world.context.clock.monotonic() - began < 60
    yield invoking
    assert invoking.done()


async def within(world: World, seconds: float, work: Awaitable[T]) -> tuple[T, float]:
    """What it returns, and how long it took; one that hangs fails the test."""
    began = world.context.clock.monotonic()
    async with asyncio.timeout(seconds):
        value = await work
    return value, world.context.clock.monotonic() - began


def assert_lost_from_sight(run: Run | RunInfo) -> None:
    outcome = run.outcome
    assert outcome
    assert (outcome.name, outcome.exit_code) == (OutcomeName.LOST, 122), run
    assert run.id
    assert f"`reconciler wait {run.id}`" in (outcome.remedy or "")


@pytest.mark.parametrize("how", AWAY)
async def test_a_target_that_stays_away_is_given_up_and_told_each_minute(world: World, how: str) -> None:
    async with invoked(world, ENDLESS) as invoking:
        await world.context.clock.sleep(5)
        go_away(world, how)
        world.said.clear()
        run, took_s = await within(world, 1800 + NOTICED_S, invoking)
        assert_lost_from_sight(run)
        assert "30 min" in run.outcome.message
        assert took_s >= 1800
        assert 28 <= len([line for line in world.said if "cannot look at the run" in line]) <= 31, world.said
        assert world.machines()[0].state == "started"


@pytest.mark.parametrize("how", AWAY)
async def test_a_target_that_comes_back_tells_the_tasks_own_code(world: World, how: str) -> None:
    async with invoked(world, TEN_MINUTES) as invoking:
        await world.context.clock.sleep(5)
        go_away(world, how)
        await world.context.clock.sleep(1200)
        world.transport.relent()
        run, _took_s = await within(world, NOTICED_S, invoking)
        assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.FAILED, 3)
        assert any("answered again after" in line for line in world.said)


async def test_how_long_it_is_asked_is_the_users_to_say(world: World) -> None:
    async with invoked(world, ENDLESS, lost_after_s=90.0) as invoking:
        await world.context.clock.sleep(5)
        go_away(world, "silence")
        run, took_s = await within(world, 90 + NOTICED_S, invoking)
        assert_lost_from_sight(run)
        assert took_s >= 90


@pytest.mark.parametrize("how", AWAY)
async def test_it_is_asked_no_longer_than_the_run_may_last_and_a_later_wait_ends_it(world: World, how: str) -> None:
    async with invoked(world, ONE_MINUTE) as invoking:
        await world.context.clock.sleep(5)
        go_away(world, how)
        run, _took_s = await within(world, 60 + 180, invoking)
        assert_lost_from_sight(run)
        assert "was not stopped" in run.outcome.message
        world.transport.relent()
        found = await find_run(world.context, "app", run.id or "", stack="stack")
        assert found
        ended = await wait_run(world.context, found)
        assert ended.outcome
        assert ended.outcome.exit_code == 124


@pytest.mark.parametrize("how", AWAY)
async def test_a_run_is_stopped_at_its_timeout_by_a_target_that_is_back_in_time(world: World, how: str) -> None:
    async with invoked(world, ONE_MINUTE) as invoking:
        await world.context.clock.sleep(50)
        go_away(world, how)
        await world.context.clock.sleep(30)
        world.transport.relent()
        run, _took_s = await within(world, NOTICED_S, invoking)
        assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.TIMED_OUT, 124)


@pytest.mark.parametrize("fault", ["lose_reply", "gateway_timeout", "half_reply", "late_reply", "late_request"])
@pytest.mark.parametrize("call", ["lease", "get", "stop"])
async def test_a_lost_reply_to_the_stop_is_no_error(world: World, fault: str, call: str) -> None:
    async with invoked(world, ONE_MINUTE) as invoking:
        await world.context.clock.sleep(58)
        is_committed = {"is_committed": True} if fault == "gateway_timeout" else {}
        world.engine.faults.add(fault, calls=(call,), times=4, seconds=20.0, **is_committed)
        run, _took_s = await within(world, 240, invoking)
        assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.TIMED_OUT, 124), run
        if (
            call == "stop" and fault != "half_reply"
        ):  # it may come late: until its lease has expired nobody starts another run
            lease = world.machines()[0].lease
            assert lease
            assert lease.expires_at > world.context.clock.now().timestamp()


@pytest.mark.parametrize(("held_s", "code"), [(50, 124), (600, 122)])
async def test_a_lease_of_someone_else_at_the_timeout_is_waited_for_a_moment(
    world: World, held_s: int, code: int
) -> None:
    async with invoked(world, ONE_MINUTE) as invoking:
        await world.context.client.leases.acquire(
            "app", world.machines()[0].id, ttl_s=60 + held_s, description="someone else's"
        )
        run, _took_s = await within(world, 300, invoking)
        assert run.outcome.exit_code == code
        if code == 122:
            assert_lost_from_sight(run)
            assert "leased" in run.outcome.message


@pytest.mark.parametrize(("seconds", "code"), [(30, 3), (10_000, 122)])
async def test_a_refusal_is_asked_again_for_a_minute(world: World, seconds: int, code: int) -> None:
    async with invoked(world, TEN_MINUTES) as invoking:
        world.engine.faults.add("unauthenticated", times=-1)
        await world.context.clock.sleep(seconds if code == 3 else 0)
        if code == 3:
            world.transport.relent()
        run, took_s = await within(world, 700, invoking)
        assert run.outcome.exit_code == code
        if code == 122:
            assert_lost_from_sight(run)
            assert took_s <= 60 + NOTICED_S


async def test_a_machine_whose_host_is_down_may_come_back() -> None:
    async def scenario(spec: Spec, code: int) -> None:
        async with open_world() as world, invoked(world, spec) as invoking:
            await world.context.clock.sleep(5)
            world.engine.faults.add("host_unreachable", machine="work-iad-0")
            await world.context.clock.sleep(100)
            if code == 3:
                world.transport.relent()
            run, _took_s = await within(world, 1800 + NOTICED_S, invoking)
            assert run.outcome.exit_code == code
            if code == 122:
                assert_lost_from_sight(run)

    await scenario(TEN_MINUTES, 3)
    await scenario(ENDLESS, 122)


@pytest.mark.parametrize("how", ["no connection", "silence"])
async def test_the_local_engine_is_given_ten_seconds(world: World, how: str) -> None:
    world.context = replace(world.context, local=LOCAL)
    async with invoked(world, ENDLESS) as invoking:
        await world.context.clock.sleep(5)
        go_away(world, how)
        run, took_s = await within(world, NOTICED_S + 12, invoking)
        assert_lost_from_sight(run)
        assert took_s >= 10
        assert "`reconciler engine start --runtime process`" in (run.outcome.remedy or "")


@pytest.mark.parametrize("how", AWAY)
@pytest.mark.parametrize("after_s", [20.0, 65.0])
async def test_an_interrupt_ends_it_promptly(world: World, how: str, after_s: float) -> None:
    """While it looks, and while it stops the run at its timeout."""
    await applied(world, ONE_MINUTE)
    stop = asyncio.Event()
    [pool] = ONE_MINUTE.tasks
    invoking = asyncio.ensure_future(invoke(world.context, pool, stack="stack", options=InvokeOptions(), stop=stop))
    await world.context.clock.sleep(10)
    go_away(world, how)
    await world.context.clock.sleep(after_s - 10)
    stop.set()
    run, _took_s = await within(world, 6, invoking)
    assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.DETACHED, 0)
    assert run.id


async def test_a_wait_that_lost_sight_of_the_run_can_be_repeated(world: World) -> None:
    await applied(world, TEN_MINUTES)
    run = await world.invoke(TEN_MINUTES, is_waiting=False)
    found = await find_run(world.context, "app", run.id or "", stack="stack")
    assert found
    go_away(world)
    info, _took_s = await within(world, 90, wait_run(world.context, found, lost_after_s=60.0))
    assert info.state is RunState.RUNNING
    assert_lost_from_sight(info)
    world.transport.relent()
    info = await wait_run(world.context, found)
    assert info.outcome
    assert (info.state, info.outcome.exit_code) == (RunState.ENDED, 3)


async def waiting_for_a_machine(world: World, **options: Any) -> "asyncio.Task[Run]":
    """An invoke that queues: the only machine runs for ten minutes."""
    await applied(world, TEN_MINUTES)
    await world.invoke(TEN_MINUTES, is_waiting=False)
    invoking = asyncio.ensure_future(world.invoke(TEN_MINUTES, queue_timeout_s=86_400.0, **options))
    while not any("waiting for a free machine" in line for line in world.said):
        await world.context.clock.sleep(0.1)
    return invoking


@pytest.mark.parametrize("how", AWAY)
async def test_a_queue_ends_when_the_target_stays_away_and_nothing_was_started(world: World, how: str) -> None:
    invoking = await waiting_for_a_machine(world, lost_after_s=900.0)
    go_away(world, how)
    with pytest.raises(ApiError):
        await within(world, 900 + NOTICED_S + 60, invoking)
    assert len(world.runtime.starts) == 1
    told = [line for line in world.said if "cannot look at the machines" in line]
    assert 2 <= len(told) <= 17, told


@pytest.mark.parametrize("how", AWAY)
async def test_a_queue_goes_on_when_the_target_is_back(world: World, how: str) -> None:
    invoking = await waiting_for_a_machine(world)
    go_away(world, how)
    await world.context.clock.sleep(700)
    world.transport.relent()
    run, _took_s = await within(world, 900, invoking)
    assert run.outcome.exit_code == 3


async def test_a_queue_for_the_local_engine_ends_soon_and_says_what_to_type(world: World) -> None:
    world.context = replace(world.context, local=LOCAL)
    invoking = await waiting_for_a_machine(world)
    go_away(world)
    with pytest.raises(ApiError) as caught:
        await within(world, 45, invoking)
    assert LOCAL.start in (caught.value.hint or "")


@pytest.mark.parametrize("how", ["leased", "429"])
async def test_a_run_past_its_deadline_that_cannot_be_stopped_is_no_error_of_the_queue(world: World, how: str) -> None:
    await applied(world, ONE_MINUTE)
    await world.invoke(ONE_MINUTE, is_waiting=False)
    await world.context.clock.sleep(50)
    if how == "leased":
        held = world.machines()[0].id
        await world.context.client.leases.acquire("app", held, ttl_s=120, description="someone else's")
    else:
        world.engine.faults.add("rate_limited", calls=("stop",), times=20)
    run, _took_s = await within(world, 400, world.invoke(ONE_MINUTE, queue_timeout_s=300.0, timeout_s=5.0))
    assert run.outcome.name is OutcomeName.TIMED_OUT
    assert len(world.runtime.starts) == 2


@pytest.mark.parametrize(("back_after_s", "code"), [(30.0, 130), (None, 122)])
async def test_a_cancel_by_interrupt_is_tried_for_a_minute(world: World, back_after_s: float | None, code: int) -> None:
    await applied(world, ENDLESS)
    run = await world.invoke(ENDLESS, is_waiting=False)
    go_away(world)
    insisted = asyncio.Event()
    work = cancel_let_go(world.context, run, "stack", lost_after_s=1800.0, insisted=insisted)
    cancelling = asyncio.ensure_future(work)
    if back_after_s:
        await world.context.clock.sleep(back_after_s)
        world.transport.relent()
    ended, _took_s = await within(world, 90, cancelling)
    assert ended.outcome.exit_code == code
    if code == 122:
        assert f"`reconciler cancel {run.id}`" in (ended.outcome.remedy or "")


async def test_a_cancel_by_interrupt_that_is_interrupted_names_the_run_at_once(world: World) -> None:
    await applied(world, ENDLESS)
    run = await world.invoke(ENDLESS, is_waiting=False)
    go_away(world)
    insisted = asyncio.Event()
    work = cancel_let_go(world.context, run, "stack", lost_after_s=1800.0, insisted=insisted)
    cancelling = asyncio.ensure_future(work)
    await world.context.clock.sleep(5)
    insisted.set()
    ended, _took_s = await within(world, 1, cancelling)
    assert (ended.outcome.exit_code, ended.id) == (122, run.id)
    assert f"`reconciler cancel {run.id}`" in (ended.outcome.remedy or "")


@pytest.mark.parametrize("is_local", [True, False])
async def test_a_start_that_is_not_confirmed_is_told_with_what_to_type(world: World, is_local: bool) -> None:
    if is_local:
        world.context = replace(world.context, local=LOCAL)
    await applied(world, ENDLESS)
    world.transport.before = lambda request: (
        world.engine.faults.add("refuse_connection", after=1, times=-1) and None
        if request.url.path.endswith("/start")
        else None
    )
    run, _took_s = await within(world, 75, world.invoke(ENDLESS, start_timeout_s=60.0))
    assert_lost_from_sight(run)
    assert (LOCAL.start in (run.outcome.remedy or "")) == is_local


@pytest.mark.parametrize(("how", "key"), [*((how, None) for how in AWAY), ("no connection", "K")])
@pytest.mark.parametrize("outage_s", [20.0, 100_000.0])
async def test_an_outage_that_begins_at_any_request_neither_hangs_an_invoke_nor_makes_it_lie(
    how: str, key: str | None, outage_s: float
) -> None:
    """The run takes 90 s and ends 4, before its timeout, or never ends."""

    async def scenario(spec: Spec, code: int, position: int) -> bool:
        """Whether there was such a request."""
        async with open_world() as world:
            await applied(world, spec)
            at = len(world.transport.requests) + position
            back: list[asyncio.Task[None]] = []

            async def come_back() -> None:
                await world.context.clock.sleep(outage_s)
                world.transport.relent()

            def before(_request: object) -> None:
                if len(world.transport.requests) > at and not back:
                    go_away(world, how)
                    back.append(asyncio.create_task(come_back()))

            world.transport.before = before
            began = world.context.clock.monotonic()
            async with asyncio.timeout(120 + 300 + 600):
                try:
                    run = await world.invoke(spec, queue_timeout_s=120.0, lost_after_s=300.0, key=key)
                except ApiError:
                    assert not world.runtime.starts
                    return bool(back)
            is_out = world.context.clock.monotonic() - began < outage_s
            if run.outcome.exit_code != code:
                assert run.outcome.exit_code in ({122} if world.runtime.starts else {120, 121, 122}), run
            if run.outcome.exit_code == 122:
                assert_lost_from_sight(run)
                assert back
                assert is_out or outage_s >= 60
            assert len(world.runtime.starts) <= 1
            for task in back:
                task.cancel()
            return bool(back)

    for spec, code in (
        (task_spec("[run, '90', exit, '4']", extra="        timeout: 300s\n", count="1"), 4),
        (ONE_MINUTE, 124),
    ):
        position = 0
        while await scenario(spec, code, position):
            position += 1
        assert position >= 8


async def test_a_target_that_fails_while_machines_seem_at_rest_is_asked_with_pauses() -> None:
    async def scenario(is_local: bool, seconds: float, calls: int) -> None:
        async with open_world() as world:
            if is_local:
                world.context = replace(world.context, local=LOCAL)
            await applied(world, TEN_MINUTES)
            asked = len(world.transport.requests)
            world.engine.faults.add("html", times=-1, after=1)  # but for the list
            with pytest.raises(ApiError):
                await within(world, seconds, world.invoke(TEN_MINUTES, queue_timeout_s=600.0))
            assert len(world.transport.requests) - asked <= calls

    await scenario(is_local=False, seconds=620, calls=1500)
    await scenario(is_local=True, seconds=20, calls=200)


@pytest.mark.parametrize("how", [how for how in AWAY if how != "HTML"])
async def test_a_run_is_sought_until_the_target_answers_again(world: World, how: str) -> None:
    await applied(world, ENDLESS)
    run = await world.invoke(ENDLESS, is_waiting=False)
    go_away(world, how)
    work = seek_named_run(world.context, ENDLESS, run.id or "", lost_after_s=1800.0)
    seeking = asyncio.ensure_future(work)
    await world.context.clock.sleep(300)
    assert not seeking.done()
    world.transport.relent()
    found, _took_s = await within(world, 400, seeking)
    assert not isinstance(found, RunInfo)
    assert found.info.id == run.id


@pytest.mark.parametrize("how", [how for how in AWAY if how != "HTML"])
async def test_a_run_that_is_sought_in_vain_is_lost_within_the_users_limit(world: World, how: str) -> None:
    go_away(world, how)
    work = seek_named_run(world.context, ENDLESS, "work-iad-0/01ABC", lost_after_s=10.0)
    found, _took_s = await within(world, 12, asyncio.ensure_future(work))
    assert isinstance(found, RunInfo)
    assert found.outcome
    assert (found.outcome.exit_code, found.task) == (122, "work")
    assert "`reconciler wait work-iad-0/01ABC`" in (found.outcome.remedy or "")


@pytest.mark.parametrize("fault", ["html", "unauthorized"])
async def test_what_no_patience_mends_ends_the_search_at_once(world: World, fault: str) -> None:
    world.engine.faults.add(fault, times=-1)
    work = seek_named_run(world.context, ENDLESS, "work-iad-0/01ABC", lost_after_s=1800.0)
    with pytest.raises(ApiError):
        await within(world, 12, asyncio.ensure_future(work))
