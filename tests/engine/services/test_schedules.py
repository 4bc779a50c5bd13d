"""Schedules on virtual time: machines start by themselves, from their creation on."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reconciler.engine.services.schedules import PERIODS_S, Schedules
from reconciler.testing.virtual_time import run_virtually
from tests.support.world import World, open_world


def scheduled(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_world() as world:
            world.engine.create_app("app", "personal")
            schedules = Schedules(world.engine)
            schedules.start()
            try:
                await scenario(world)
            finally:
                await schedules.close()

    run_virtually(run())


def create(world: World, *, skip_launch: bool = False, schedule: str = "hourly", run_s: str = "1") -> str:
    config: dict[str, Any] = {"image": "i", "init": {"cmd": ["run", run_s]}, "restart": {"policy": "no"}}
    return world.engine.create("app", {"skip_launch": skip_launch, "config": config | {"schedule": schedule}}).id


def runs(world: World, machine_id: str) -> int:
    return world.engine.machine("app", machine_id).runs


@pytest.mark.parametrize("schedule", PERIODS_S)
def test_it_starts_once_in_each_period_besides_its_first_run(schedule: str) -> None:
    async def scenario(world: World) -> None:
        machine_id = create(world, schedule=schedule)
        await world.context.clock.sleep(PERIODS_S[schedule] - 10)
        assert runs(world, machine_id) == 1
        await world.context.clock.sleep(20)
        assert runs(world, machine_id) == 2
        await world.context.clock.sleep(3 * PERIODS_S[schedule])
        assert runs(world, machine_id) == 5

    scheduled(scenario)


def test_one_that_still_runs_is_passed_over() -> None:
    async def scenario(world: World) -> None:
        machine_id = create(world, run_s="5000")
        await world.context.clock.sleep(4000)
        assert runs(world, machine_id) == 1
        await world.context.clock.sleep(3600)
        assert runs(world, machine_id) == 2

    scheduled(scenario)


def test_skip_launch_disarms_it_and_an_update_without_arms_it_again() -> None:
    async def scenario(world: World) -> None:
        machine_id = create(world, skip_launch=True)
        await world.context.clock.sleep(8000)
        assert runs(world, machine_id) == 0
        config = world.engine.machine("app", machine_id).config
        await world.engine.update("app", machine_id, {"config": config}, None)
        await world.context.clock.sleep(3700)
        assert runs(world, machine_id) == 1
        await world.engine.update("app", machine_id, {"config": config | {"schedule": "daily"}}, None)
        await world.context.clock.sleep(7200)
        assert runs(world, machine_id) == 1, "another period, from its creation on"

    scheduled(scenario)


def test_a_destroyed_machine_starts_no_more() -> None:
    async def scenario(world: World) -> None:
        machine_id = create(world)
        await world.context.clock.sleep(100)
        await world.engine.destroy("app", machine_id, None, force=True)
        await world.context.clock.sleep(10_000)
        assert runs(world, machine_id) == 1

    scheduled(scenario)
