"""What the engine retains is bounded by age and number, and space is given back."""

import asyncio
import itertools
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.engine.engine import Engine
from reconciler.engine.errors import ApiFault
from reconciler.engine.models import LogEntry
from reconciler.engine.store import database, log_table
from reconciler.engine.store.cleanup import Cleanup
from reconciler.engine.store.retention import (
    DESTROYED_KEPT_S,
    EVENTS_KEPT,
    LOG_BYTES_KEPT,
    LOG_LINES_KEPT,
    VERSIONS_KEPT,
)
from reconciler.engine.store.store import Store
from reconciler.testing.scripted import ScriptedRuntime
from reconciler.testing.virtual_time import VirtualClock, run_virtually

pytestmark = pytest.mark.slow

CONFIG = {"image": "i", "init": {"exec": ["say", "x" * 1000]}, "restart": {"policy": "no"}}


class World:
    """An engine on virtual time with a file of its own, and the cleanup that goes on around it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.engine = Engine(database=file, runtime=ScriptedRuntime(), clock=VirtualClock())
        self.cleanup = Cleanup(self.engine)

    async def begin(self) -> None:
        self.cleanup.start()
        await self.engine.start()

    async def close(self) -> None:
        await self.cleanup.close()
        await self.engine.close()

    async def run_once(self, name: str, **config: Any) -> str:
        """The id of a new machine that has run and is destroyed."""
        machine = self.engine.create("app", {"name": name, "config": CONFIG | config})
        await asyncio.sleep(10)
        await self.engine.destroy("app", machine.id, None, force=True)
        return machine.id

    def is_told(self, machine_id: str) -> bool:
        try:
            return self.engine.machine("app", machine_id).is_destroyed
        except ApiFault:
            return False

    def rows(self, table: str) -> int:
        with closing(sqlite3.connect(self.file)) as connection:
            [(count,)] = connection.execute(f"SELECT COUNT(*) FROM {table}")
            return int(count)

    def bytes(self) -> int:
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return self.file.stat().st_size


def in_world(file: Path, scenario: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def work() -> None:
        world = World(file)
        await world.begin()
        if "app" not in world.engine.store.apps:
            world.engine.create_app("app", "personal")
        try:
            await scenario(world)
        finally:
            await world.close()

    run_virtually(work())


def test_a_destroyed_machine_is_told_for_two_days_and_then_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        first = await world.run_once("first")
        await asyncio.sleep(3600)
        second = await world.run_once("second")
        stays = world.engine.create("app", {"name": "stays", "config": CONFIG})
        await asyncio.sleep(DESTROYED_KEPT_S - 3600 - 60)
        assert [world.is_told(one) for one in (first, second)] == [True, True]
        assert [machine.name for machine in world.engine.machines("app", with_destroyed=True)] == [
            "first",
            "second",
            "stays",
        ]
        assert world.rows("machines") == world.rows("versions") == world.rows("logs") == 3
        await asyncio.sleep(180)
        assert [world.is_told(one) for one in (first, second)] == [False, True]
        await asyncio.sleep(3600)
        assert [world.is_told(one) for one in (first, second)] == [False, False]
        assert [machine.id for machine in world.engine.machines("app", with_destroyed=True)] == [stays.id]
        assert world.rows("machines") == world.rows("versions") == world.rows("logs") == 1

    in_world(tmp_path / "engine.db", scenario)


def test_what_was_destroyed_before_the_engine_ended_is_forgotten_too(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.run_once("first")

    async def later(world: World) -> None:
        [machine] = world.engine.machines("app", with_destroyed=True)
        await asyncio.sleep(DESTROYED_KEPT_S + 180)
        assert not world.is_told(machine.id)
        assert world.rows("machines") == 0

    in_world(tmp_path / "engine.db", scenario)
    in_world(tmp_path / "engine.db", later)


def test_the_space_goes_back_to_the_disk_and_others_have_their_turn_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        empty = world.bytes()
        config = CONFIG | {"env": {"FILL": "x" * 100_000}}
        machines = [world.engine.create("app", {"name": f"m-{number}", "config": config}) for number in range(100)]
        await asyncio.sleep(10)
        for machine in machines:
            await world.engine.destroy("app", machine.id, None, force=True)
        assert world.bytes() > empty + 10_000_000
        loop, give_back, others_turns, steps = asyncio.get_running_loop(), world.engine.store.give_back, 0, 0

        def count() -> None:
            nonlocal others_turns
            others_turns += 1

        def step() -> bool:
            nonlocal steps
            assert others_turns == steps
            steps += 1
            loop.call_soon(count)
            return give_back()

        monkeypatch.setattr(world.engine.store, "give_back", step)
        await asyncio.sleep(DESTROYED_KEPT_S + 60)
        assert world.rows("machines") == 0
        assert world.bytes() < empty + 2_000_000
        assert 20 < steps < 200

    in_world(tmp_path / "engine.db", scenario)


def test_versions_and_events_are_bounded_for_each_machine(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        machine = world.engine.create("app", {"name": "m", "config": CONFIG, "skip_launch": True})
        for number in range(VERSIONS_KEPT + 20):
            await asyncio.sleep(10)
            body = {"config": CONFIG | {"env": {"N": str(number)}}, "skip_launch": True}
            await world.engine.update("app", machine.id, body, None)
        versions = world.engine.versions("app", machine.id)
        assert len(versions) == world.rows("versions") == VERSIONS_KEPT
        assert versions[0][1]["env"] == {"N": str(VERSIONS_KEPT + 19)}
        assert len(world.engine.machine("app", machine.id).events) == EVENTS_KEPT

    in_world(tmp_path / "engine.db", scenario)


def entries(count: int, message: str, *, machine: str = "m") -> list[LogEntry]:
    made = LogEntry(
        app="app",
        machine_id=machine,
        region="iad",
        timestamp_ns=1,
        stream="stdout",
        provider="app",
        level="info",
        message=message,
    )
    return [replace(made, message=f"{number} {message}") for number in range(count)]


def told(store: Store) -> list[int]:
    return [int(entry.message.split()[0]) for entry in store.log_table.since(0, 10_000)]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    for module in (log_table, database):
        monkeypatch.setattr(module, "LOG_LINES_KEPT", 100)
        monkeypatch.setattr(module, "LOG_BYTES_KEPT", 100_000)
    return Store(tmp_path / "engine.db")


def test_the_oldest_lines_go_when_there_are_too_many(store: Store) -> None:
    store.add_logs(entries(90, "x"))
    assert told(store) == list(range(90))
    store.add_logs(entries(15, "y"))
    assert told(store) == [*range(5, 90), *range(15)]
    store.close()


def test_the_oldest_lines_go_when_they_are_too_large(store: Store) -> None:
    store.add_logs(entries(20, "x"))
    store.add_logs(entries(9, "ä" * 5_000))
    assert told(store) == [*range(20), *range(9)]
    store.add_logs(entries(1, "ä" * 5_000))
    assert told(store) == [*range(1, 9), 0]
    store.close()


def test_many_short_lines_make_place_for_long_ones_in_some_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_table, "LOG_BYTES_KEPT", 1_000_000)
    store = Store(tmp_path / "engine.db")
    store.add_logs(entries(5_000, "x"))
    counts = []
    for _ in range(30):
        store.add_logs(entries(1, "y" * 60_000))
        counts.append(len(store.log_table.since(0, 10_000)))
    assert all(before - after < 1_000 for before, after in itertools.pairwise(counts))
    assert counts[-1] == 1_000_000 // 60_102
    store.close()


def test_the_bounds_hold_over_a_restart_and_over_a_machine_that_was_forgotten(store: Store, tmp_path: Path) -> None:
    store.add_logs(entries(60, "x", machine="gone"))
    store.add_logs(entries(30, "y"))
    store.close()
    again = Store(tmp_path / "engine.db")
    assert again.log_table.forget("app", "gone", most=50)
    assert not again.log_table.forget("app", "gone", most=50)
    again.add_logs(entries(70, "z"))
    assert told(again) == [*range(30), *range(70)]
    again.add_logs(entries(1, "z"))
    assert told(again) == [*range(1, 30), *range(70), 0]
    again.close()


def test_a_file_from_before_there_were_bounds_is_brought_within_them_once(tmp_path: Path) -> None:
    file = tmp_path / "engine.db"
    line = "INSERT INTO logs (app, machine, region, timestamp_ns, stream, provider, level, message)"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        for statement in database._MIGRATIONS[0][:6]:
            connection.execute(statement)
        rows = [(number,) for number in range(VERSIONS_KEPT + 20)]
        connection.executemany("INSERT INTO versions (machine, version, config) VALUES ('m', ?, '{}')", rows)
        lines = [(number, str(number)) for number in range(LOG_LINES_KEPT + 20)]
        lines += [(number, f"{number} {'x' * 60_000}") for number in range(LOG_LINES_KEPT + 20, LOG_LINES_KEPT + 1520)]
        connection.executemany(f"{line} VALUES ('app', 'm', 'iad', ?, 'stdout', 'app', 'info', ?)", lines)
    before = file.stat().st_size
    store = Store(file)
    assert [version for version, _ in store.versions("m")] == [
        str(number) for number in range(VERSIONS_KEPT + 19, 19, -1)
    ]
    told_lines = store.log_table.since(0, 10_000)
    assert told_lines[-1].timestamp_ns == LOG_LINES_KEPT + 1519
    assert len(told_lines) == LOG_BYTES_KEPT // 60_107
    store.close()
    assert file.stat().st_size < before - 20_000_000
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (database.VERSION,)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
