"""On a full disk all that happens still shows, and nothing new is started."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from reconciler.engine.engine import Engine
from reconciler.engine.models import Machine
from reconciler.errors import ApiError
from reconciler.machines_api.logs import LogLine
from tests.support.world import World, open_world, task_spec

FULL = "database or disk is full"


@contextmanager
def full_disk(engine: Engine, *tables: str) -> Iterator[None]:
    """The database takes nothing into these tables."""
    connection = engine.store._connection
    for table in tables:
        refusal = f"SELECT RAISE(ABORT, '{FULL}')"
        connection.execute(f"CREATE TEMP TRIGGER full_{table} BEFORE INSERT ON {table} BEGIN {refusal}; END")
    yield
    for table in tables:
        connection.execute(f"DROP TRIGGER full_{table}")


def written(engine: Engine, machine: Machine) -> str:
    """The machine's record as an engine would find it after a crash."""
    [(value,)] = engine.store._connection.execute("SELECT value FROM machines WHERE id = ?", (machine.id,))
    return str(value)


async def with_tasks(world: World, command: str) -> Machine:
    """The one machine of an applied task."""
    await world.apply(task_spec(command, count="1"))
    await asyncio.sleep(10)
    [machine] = world.machines()
    return machine


async def test_lines_that_are_lost_are_told_at_once_and_their_place_is_kept() -> None:
    command = "[say, lost, run, '5', exit, '7']"
    lines: list[LogLine] = []
    async with open_world() as world:
        machine = await with_tasks(world, command)
        with full_disk(world.engine, "logs"):
            run = await world.invoke(task_spec(command, count="1"), take_line=lines.append)
            assert run.outcome.task_code == 7
            assert not lines
            [told] = [line for line in world.said if "output is incomplete" in line]
            assert FULL in told
        await asyncio.sleep(1)
        assert not world.engine.store.log_table.has_gaps
        kept = [line.message for line in world.engine.store.logs("app", machine.id, None)]
        assert len(kept) == 1
        assert "output is incomplete" in kept[0]


async def test_a_run_ends_with_its_own_code_though_the_disk_fills_up_meanwhile() -> None:
    command = "[run, '5', say, lost, exit, '7']"
    lines: list[LogLine] = []
    async with open_world() as world:
        await with_tasks(world, command)
        run = asyncio.create_task(world.invoke(task_spec(command, count="1"), take_line=lines.append))
        await asyncio.sleep(3)
        with full_disk(world.engine, "logs", "machines"):
            assert (await run).outcome.task_code == 7
            assert len([line for line in world.said if "output is incomplete" in line]) == 1


async def test_an_exit_is_told_while_nothing_can_be_written_and_is_written_once_there_is_room(world: World) -> None:
    machine = await with_tasks(world, "[say, lost, run, '5', exit, '7']")
    await world.engine.start_machine("app", machine.id, None)
    with full_disk(world.engine, "logs", "machines"):
        await asyncio.sleep(10)
        told = world.engine.machine("app", machine.id)
        assert (told.state, told.events[0].type) == ("stopped", "exit")
        assert told.events[0].id not in written(world.engine, machine)
    await asyncio.sleep(1)
    assert world.engine.machine("app", machine.id).events == told.events
    assert told.events[0].id in written(world.engine, machine)


async def test_what_was_begun_is_finished_while_nothing_can_be_written(world: World) -> None:
    machine = await with_tasks(world, "[run, '1000']")
    await world.engine.start_machine("app", machine.id, None)
    await world.engine.destroy("app", machine.id, None, force=True)
    with full_disk(world.engine, "logs", "machines"):
        await asyncio.sleep(10)
        assert world.engine.machine("app", machine.id).is_destroyed
    await asyncio.sleep(1)
    assert '"destroyed"' in written(world.engine, machine)


async def test_nothing_starts_while_the_log_cannot_be_written() -> None:
    command = "[say, lost, exit, '0']"
    async with open_world() as world:
        machine = await with_tasks(world, command)
        with full_disk(world.engine, "logs"):
            await world.engine.start_machine("app", machine.id, None)
            await asyncio.sleep(1)
            starts = len(world.runtime.starts)
            with pytest.raises(ApiError, match=f"the engine cannot write: {FULL}"):
                await world.invoke(task_spec(command, count="1"))
            assert len(world.runtime.starts) == starts
        assert (await world.invoke(task_spec(command, count="1"))).outcome.task_code == 0


async def test_a_restart_by_policy_waits_for_room(world: World) -> None:
    machine = await with_tasks(world, "[run, '5', exit, '7']")
    config = machine.config | {"restart": {"policy": "always"}}
    await world.engine.update("app", machine.id, {"config": config}, None)
    await asyncio.sleep(10)
    await world.engine.start_machine("app", machine.id, None)
    with full_disk(world.engine, "machines"):
        await asyncio.sleep(60)
        starts = len(world.runtime.starts)
        assert starts == 1
    await asyncio.sleep(5)
    assert len(world.runtime.starts) > starts
