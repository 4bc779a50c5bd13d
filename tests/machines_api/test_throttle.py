"""Pacing, on virtual time: never too fast for a server that counts calls when they arrive, and hardly ever slower."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.apply.priority_semaphore import PrioritySemaphore
from reconciler.engine.http.admission import Rates
from reconciler.machines_api.throttle import Throttle
from reconciler.testing.virtual_time import VirtualClock, run_virtually

# There and back, in seconds.
Way = tuple[float, float]
ways = st.lists(st.tuples(st.floats(0, 0.25), st.floats(0, 3)), min_size=1, max_size=40)
PAUSE_S = 1.01


async def sent_at(throttle: Throttle, rates: Rates, action: str, ways: Sequence[Way]) -> list[float]:
    """When each of the calls was sent that all want to be sent now. Fails where the server refuses one."""
    clock = VirtualClock()
    at = []

    async def one(there_s: float, back_s: float) -> None:
        ticket = await throttle.bucket(action, "x").pass_through()
        at.append(clock.monotonic())
        await clock.sleep(there_s)
        assert rates.admits("get" if action == "get_machine" else action, "x"), f"refused at {clock.monotonic()}"
        await clock.sleep(back_s)
        ticket.answered()

    await asyncio.gather(*(one(*way) for way in ways))
    return at


def all_sent_at(action: str, ways: Sequence[Way]) -> list[float]:
    async def scenario() -> list[float]:
        clock = VirtualClock()
        return await sent_at(Throttle(clock, is_paced=True), Rates(clock), action, ways)

    return run_virtually(scenario())


@given(ways)
def test_no_call_is_refused_however_long_each_is_on_its_way(ways: list[Way]) -> None:
    at = all_sent_at("create_machine", ways)
    first_s = 0.25  # the longest way that is reckoned with, once
    assert all(moment <= max(0, number - 2) * PAUSE_S + first_s + 1e-6 for number, moment in enumerate(at))


def test_reading_a_machine_has_a_rate_of_its_own() -> None:
    at = all_sent_at("get_machine", [(0.0, 0.0)] * 12)
    assert at == [pytest.approx(moment) for moment in [0.0] * 10 + [0.25, 2 * PAUSE_S / 5]]


async def test_a_bucket_that_had_time_is_full_again() -> None:
    clock = VirtualClock()
    throttle, rates = Throttle(clock, is_paced=True), Rates(clock)
    for _ in range(3):
        began = clock.monotonic()
        at = await sent_at(throttle, rates, "create_machine", [(0.01, 0.01)] * 5)
        assert [moment - began for moment in at] == [0, 0, 0, pytest.approx(1.03), pytest.approx(2.04)]
        await clock.sleep(10)


async def test_each_action_and_each_id_has_a_bucket_of_its_own() -> None:
    throttle = Throttle(VirtualClock(), is_paced=True)
    for _ in range(3):
        for action, identifier in (("create_machine", "a"), ("create_machine", "b"), ("list_machines", "a")):
            (await throttle.bucket(action, identifier).pass_through()).answered()
    assert VirtualClock().monotonic() == 0


@pytest.mark.parametrize("is_paced", [True, False])
async def test_what_the_server_asks_for_holds_for_all_calls_of_the_bucket(is_paced: bool) -> None:
    clock = VirtualClock()
    throttle = Throttle(clock, is_paced=is_paced)
    throttle.bucket("start", "a").hold(7)
    await throttle.bucket("start", "b").pass_through()
    other = clock.monotonic()
    await throttle.bucket("start", "a").pass_through()
    assert (other, clock.monotonic()) == (0, 7)


async def test_without_pacing_nothing_waits() -> None:
    throttle = Throttle(VirtualClock(), is_paced=False)
    for _ in range(1000):
        await throttle.bucket("create_machine", "a").pass_through()
    assert VirtualClock().monotonic() == 0


async def test_who_waits_for_the_pace_holds_no_place() -> None:
    """With two places, twenty calls of one bucket do not keep those of another from going on beside them."""
    clock = VirtualClock()
    throttle, limit, ended = Throttle(clock, is_paced=True), PrioritySemaphore(2), {}

    async def one(identifier: str) -> None:
        bucket = throttle.bucket("create_machine", identifier)
        assert await bucket.enter(limit, asyncio.Event())
        ticket = await bucket.pass_through()
        await clock.sleep(0.1)
        ticket.answered()
        limit.release()
        ended[identifier] = clock.monotonic()

    await asyncio.gather(*(one(identifier) for identifier in ["a"] * 20 + ["b"] * 20))
    assert all(moment <= 17 * PAUSE_S + 1 for moment in ended.values())


async def test_a_stop_sends_away_all_who_wait() -> None:
    clock = VirtualClock()
    bucket = Throttle(clock, is_paced=True).bucket("create_machine", "a")
    limit, stop = PrioritySemaphore(10), asyncio.Event()
    waiting = [asyncio.create_task(bucket.enter(limit, stop)) for _ in range(8)]
    await clock.sleep(1.5)
    stop.set()
    entered, at = await asyncio.gather(*waiting), clock.monotonic()
    assert entered == [True] * 4 + [False] * 4
    assert at == 1.5


def notices(wait: Callable[[Throttle], Awaitable[None]]) -> list[tuple[float, str]]:
    """What is announced while so is waited, each with its moment."""
    said: list[tuple[float, str]] = []

    async def scenario() -> None:
        clock = VirtualClock()
        throttle = Throttle(clock, is_paced=True, notice=lambda line: said.append((clock.monotonic(), line)))
        await wait(throttle)

    run_virtually(scenario())
    return said


@pytest.mark.parametrize("way", ["pass_through", "enter"])
def test_many_calls_that_wait_for_their_turn_are_announced_once_a_minute(way: str) -> None:
    async def wait(throttle: Throttle) -> None:
        async def one() -> None:
            bucket, limit = throttle.bucket("create_machine", "a"), PrioritySemaphore(1)
            if way == "enter":
                await bucket.enter(limit, asyncio.Event())
            (await bucket.pass_through()).answered()

        await asyncio.gather(*(one() for _ in range(100)))

    first, second = notices(wait)
    assert first[0] == pytest.approx(5.0, abs=1.0)
    assert second[0] == pytest.approx(first[0] + 60, abs=1.0)
    assert first[1] == "rate limited by the platform: 'create machine' waits longer than 5 s"


def test_a_refusal_of_each_of_many_machines_is_announced_once() -> None:
    async def wait(throttle: Throttle) -> None:
        for number in range(20):
            throttle.bucket("start_machine", str(number)).hold(30.0)
        await asyncio.gather(*(throttle.bucket("start_machine", str(number)).pass_through() for number in range(20)))

    assert notices(wait) == [(0.0, "rate limited by the platform: 'start machine' waits 30 s")]


def test_what_takes_five_seconds_or_less_is_not_announced() -> None:
    async def wait(throttle: Throttle) -> None:
        throttle.bucket("start_machine", "a").hold(4.9)
        await throttle.bucket("start_machine", "a").pass_through()

    assert notices(wait) == []
