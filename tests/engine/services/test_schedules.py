"""Schedules on virtual time: machines start by themselves, from their creation on."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.engine.services.schedules import PERIODS_S, Schedules
from tests.support.world import World


@pytest.fixture(autouse=True)
def _schedules(world: World, virtual_time: asyncio.Runner) -> Iterator[None]:
    schedules = Schedules(world.engine)

    async def start() -> None:
        world.engine.create_app("app", "personal")
        schedules.start()

    virtual_time.run(start())
    yield
    virtual_time.run(schedules.close())


def create(world: World, *, skip_launch: bool = False, schedule: str = "hourly", run_s: str = "1") -> str:
    config: dict[str, Any] = {"image": "i", "init": {"cmd": ["run", run_s]}, "restart": {"policy": "no"}}
    return world.engine.create("app", {"skip_launch": skip_launch, "config": config | {"schedule": schedule}}).id


def runs(world: World, machine_id: str) -> int:
    return world.engine.machine("app", machine_id).runs


@pytest.mark.parametrize("schedule", PERIODS_S)
async def test_it_starts_once_in_each_period_besides_its_first_run(world: World, schedule: str) -> None:
    machine_id = create(world, schedule=schedule)
    await world.context.clock.sleep(PERIODS_S[schedule] - 10)
    assert runs(world, machine_id) == 1
    await world.context.clock.sleep(20)
    assert runs(world, machine_id) == 2
    await world.context.clock.sleep(3 * PERIODS_S[schedule])
    assert runs(world, machine_id) == 5


async def test_one_that_still_runs_is_passed_over(world: World) -> None:
    machine_id = create(world, run_s="5000")
    await world.context.clock.sleep(4000)
    assert runs(world, machine_id) == 1
    await world.context.clock.sleep(3600)
    assert runs(world, machine_id) == 2


async def test_skip_launch_disarms_it_and_an_update_without_arms_it_again(world: World) -> None:
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


async def test_a_destroyed_machine_starts_no_more(world: World) -> None:
    machine_id = create(world)
    await world.context.clock.sleep(100)
    await world.engine.destroy("app", machine_id, None, force=True)
    await world.context.clock.sleep(10_000)
    assert runs(world, machine_id) == 1
