"""PrioritySemaphore: never more than there are, in turn, the urgent first, and none lost however waiting ends."""

import asyncio
import random

from reconciler.apply.priority_semaphore import PrioritySemaphore
from reconciler.testing.virtual_time import VirtualClock


async def test_who_is_urgent_has_the_next_place_and_the_others_theirs_in_turn() -> None:
    places, order = PrioritySemaphore(1), []

    async def one(name: str, *, is_urgent: bool = False) -> None:
        await places.acquire(is_urgent=is_urgent)
        order.append(name)
        await VirtualClock().sleep(1)
        places.release()

    waiting = [one("a"), one("b"), one("c"), one("first", is_urgent=True), one("second", is_urgent=True)]
    await asyncio.gather(*waiting)
    assert order == ["a", "first", "second", "b", "c"]


async def test_no_place_is_lost_or_given_twice_however_waiting_ends() -> None:
    async def scenario(seed: int) -> None:
        rng, clock, places, held = random.Random(seed), VirtualClock(), PrioritySemaphore(3), 0
        most = 0

        async def one() -> None:
            nonlocal held, most
            await clock.sleep(rng.random())
            await places.acquire(is_urgent=rng.random() < 0.3)
            held += 1
            most = max(most, held)
            try:
                await clock.sleep(rng.choice([0.0, rng.random()]))
            finally:
                held -= 1
                places.release()

        tasks = [asyncio.create_task(one()) for _ in range(40)]

        async def cancel(task: asyncio.Task[None]) -> None:
            await clock.sleep(rng.random() * 3)
            task.cancel()

        await asyncio.gather(*(cancel(task) for task in rng.sample(tasks, 20)))
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= 3
        for _ in range(3):
            await asyncio.wait_for(places.acquire(), timeout=1)

    for seed in range(200):
        await scenario(seed)


async def test_a_place_that_is_given_to_one_who_gives_up_at_that_moment_goes_on_to_the_next() -> None:
    places = PrioritySemaphore(1)
    await places.acquire()
    gives_up, next_one = (asyncio.create_task(places.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    places.release()
    gives_up.cancel()
    await asyncio.wait_for(next_one, timeout=1)
