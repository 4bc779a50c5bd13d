"""Two applies or destroys at once: at each request of the one, the other begins. Both end as what is true says."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from reconciler.errors import BlockedError
from reconciler.model.report import Report
from reconciler.model.revision import numbered
from reconciler.testing.virtual_time import run_virtually
from tests.support.side_by_side import NEW, Deed, applying, assert_well, destroying, person
from tests.support.world import World, app_text, open_world, spec_of

pytestmark = pytest.mark.slow


NEVER = 1_000_000
PAUSES_S = (0.4, 5.0)  # the other one is in the middle of its work then; and has done whatever it can do


@dataclass
class Pausing(httpx.AsyncBaseTransport):
    """A transport that lets the other one begin before one request, and sends that a while later."""

    inner: httpx.AsyncBaseTransport
    at: int
    pause_s: float
    clock: Any
    reached: asyncio.Event
    sent: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        position, self.sent = self.sent, self.sent + 1
        if position == self.at:
            self.reached.set()
            await self.clock.sleep(self.pause_s)
        return await self.inner.handle_async_request(request)


async def side_by_side(
    world: World, one: Deed, other: Deed, *, at: int, pause_s: float
) -> tuple[Report | None, Report | None, int]:
    """The reports of both, None of one that was refused; and how many requests the first one sent."""
    reached = asyncio.Event()
    transport = Pausing(world.transport, at, pause_s, world.context.clock, reached)

    async def second() -> Report | None:
        await reached.wait()
        with suppress(BlockedError):
            return await other(person(world, "second"))
        return None

    async def first() -> Report | None:
        try:
            with suppress(BlockedError):
                return await one(person(world, "first", transport))
            return None
        finally:
            reached.set()

    began = asyncio.gather(first(), second())
    return (*await began, transport.sent)


def everywhere(scenario: Callable[[World, int, float], Awaitable[int]], *, step: int = 1) -> None:
    """The scenario at each request of the first one, of as many as it sends alone; pauses by turns."""

    async def at_one(position: int, pause_s: float) -> int:
        async with open_world() as world:
            world.transport.before = lambda _request: world.assert_unique_names()
            return await scenario(world, position, pause_s)

    count = run_virtually(at_one(NEVER, 0.0))
    for position in range(0, count, step):
        pause_s = PAUSES_S[position // 2 % len(PAUSES_S)]
        try:
            run_virtually(at_one(position, pause_s))
        except BaseException as error:
            error.add_note(f"at request {position} of {count}, for {pause_s} s")
            raise


BEFORE = app_text("""
    tasks:
      changed: {command: [exit, '1'], count: 2}
      moved: {command: [exit, '2'], config: {mounts: [{volume: vol_1, path: /data}]}}
      shrunk: {command: [exit, '3'], count: 2}
      gone: {command: [exit, '4']}
    services:
      web: {command: [run, '100000000'], count: 2, rollout: {min_healthy: 1s}}
""")
AFTER = app_text("""
    tasks:
      changed: {command: [exit, '5'], count: 2, metadata: {team: web}}
      moved: {command: [exit, '2'], config: {mounts: [{volume: vol_2, path: /data}]}}
      shrunk: {command: [exit, '3']}
      added: {command: [exit, '6'], count: {iad: 2, ams: 1}}
    services:
      web: {command: [run, '100000000'], count: 2, env: {NEW: '1'}, rollout: {min_healthy: 1s}}
""")
OTHER = AFTER.replace("NEW: '1'", "NEW: '2'").replace("'5'", "'7'").replace("'6'", "'8'")


async def set_up(world: World) -> None:
    world.add_volumes("vol_1", "vol_2")
    assert (await world.apply(spec_of(BEFORE))).is_success
    await world.context.clock.sleep(5)


def test_two_applies_of_one_spec_on_a_new_app_both_end_well() -> None:
    async def scenario(world: World, at: int, pause_s: float) -> int:
        spec = spec_of(NEW)
        one, other, count = await side_by_side(world, applying(spec), applying(spec), at=at, pause_s=pause_s)
        assert_well(one, other)
        assert not (await world.plan(spec)).has_changes
        assert len(world.machines()) == 5
        return count

    everywhere(scenario)


def test_two_applies_of_one_changed_spec_both_end_well() -> None:
    async def scenario(world: World, at: int, pause_s: float) -> int:
        await set_up(world)
        spec = spec_of(AFTER)
        one, other, count = await side_by_side(world, applying(spec), applying(spec), at=at, pause_s=pause_s)
        assert_well(one, other)
        assert not (await world.plan(spec)).has_changes
        return count

    everywhere(scenario, step=3)  # each request: test_fault_matrix.py


def test_two_destroys_both_end_well() -> None:
    async def scenario(world: World, at: int, pause_s: float) -> int:
        await set_up(world)
        spec = spec_of(BEFORE)
        one, other, count = await side_by_side(world, destroying(spec), destroying(spec), at=at, pause_s=pause_s)
        assert_well(one, other)
        assert world.machines() == []
        return count

    everywhere(scenario)


def test_a_newer_revision_wins_over_an_older_one_beside_it() -> None:
    async def scenario(world: World, at: int, pause_s: float) -> int:
        older, newer = applying(spec_of(OTHER), revision=numbered(1)), applying(spec_of(AFTER), revision=numbered(2))
        await set_up(world)
        deeds = (older, newer) if at % 2 else (newer, older)
        one, other, count = await side_by_side(world, *deeds, at=at, pause_s=pause_s)
        assert_well(other if at % 2 else one)
        assert not (await world.plan(spec_of(AFTER))).has_changes
        return count

    everywhere(scenario, step=3)


def test_after_an_apply_beside_a_destroy_the_next_of_either_converges() -> None:
    async def scenario(world: World, at: int, pause_s: float) -> int:
        await set_up(world)
        spec = spec_of(AFTER)
        deeds = (applying(spec), destroying(spec)) if at % 2 else (destroying(spec), applying(spec))
        _one, _other, count = await side_by_side(world, *deeds, at=at, pause_s=pause_s)
        assert_well(await world.apply(spec))
        assert not (await world.plan(spec)).has_changes
        return count

    everywhere(scenario, step=3)
