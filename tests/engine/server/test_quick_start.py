"""What a start of the engine and a start on it do: modules, syncs, commits, and no naps."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.clock import SystemClock
from reconciler.engine.engine import Engine
from reconciler.engine.machines.wait import Wait
from reconciler.engine.runtime.process import ProcessRuntime
from reconciler.engine.server import daemon
from reconciler.engine.server.daemon import start_engine, stop_engine
from reconciler.engine.store.store import Store

HEAVY = {
    "argparse",
    "click",
    "h11",
    "httpx",
    "importlib.metadata",
    "jsonschema",
    "rich",
    "starlette",
    "uvicorn",
    "yaml",
}
DAEMON = ("reconciler.engine.__main__", "reconciler.engine.server.serve", "reconciler.engine.runtime.process")
LATER = {"shlex", "reconciler.engine.graphql.queries"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop_engine(tmp_path / "home")


def test_the_engine_imports_nothing_that_it_does_not_need_to_serve() -> None:
    program = f"import sys, {', '.join(DAEMON)}; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert (HEAVY | LATER).intersection(told.stdout.split()) == set()
    assert {"httptools", "uvloop", "sqlite3"} <= set(told.stdout.split())


@pytest.mark.slow
def test_who_starts_it_is_told_when_it_serves_and_does_not_nap(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nap(seconds: float) -> None:
        raise AssertionError(f"it sleeps for {seconds} s")

    monkeypatch.setattr(f"{daemon.__name__}.time.sleep", nap)
    status = start_engine(home)
    monkeypatch.undo()
    assert status.running


def test_a_wrong_call_of_the_engines_process_says_how_to_call_it() -> None:
    for words in (["--port", "0"], ["--home"], ["--home", "/nowhere", "--what", "1"]):
        command = [sys.executable, "-m", "reconciler.engine", *words]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert ended.returncode == 1
        assert "usage: python -m reconciler.engine --home DIR" in ended.stderr


def test_a_new_database_is_synced_once_and_then_as_its_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    for expected in (1, 1):  # the second time it is there
        store = Store(tmp_path / "engine.db")
        settings = [
            store._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "auto_vacuum", "user_version")
        ]
        store.close()
        assert settings == ["wal", 1, 2, 2]
        assert len(synced) == expected


@pytest.mark.slow
def test_a_start_of_true_is_three_commits_until_it_has_stopped(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        runtime = ProcessRuntime(tmp_path / "machines")
        engine = Engine(database=tmp_path / "engine.db", runtime=runtime, clock=SystemClock())
        await engine.start()
        try:
            engine.create_app("app", "personal")
            config = {"image": "i", "init": {"exec": ["true"]}, "restart": {"policy": "no"}}
            machine = engine.create("app", {"skip_launch": True, "config": config})
            await engine.wait("app", machine.id, Wait(states=["stopped"]))
            said: list[str] = []
            engine.store._connection.set_trace_callback(said.append)
            await engine.start_machine("app", machine.id, None)
            await engine.wait("app", machine.id, Wait(states=["stopped"]))
            engine.store._connection.set_trace_callback(None)
            return said
        finally:
            await engine.close()

    # That it starts, before it does; its pid, for who has to end it after a crash; and its end.
    assert [one.split()[0] for one in asyncio.run(scenario())] == ["BEGIN", "INSERT", "COMMIT"] * 3


def test_what_finds_and_starts_an_engine_imports_little() -> None:
    program = "import sys, reconciler.engine.server.daemon; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert {"asyncio", "sqlite3", "msgspec", "dataclasses", "inspect"}.intersection(told.stdout.split()) == set()
