"""What a run of a command that leaves nothing is spared, and that one that leaves something is not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.engine import Engine
from reconciler.engine.models import Machine
from reconciler.engine.runtime import child, procfs
from reconciler.engine.runtime.procfs import Owned
from tests.support.real_processes import is_alive, output_of, run_once, started, wait_for, with_engine

LEAVE = (
    "setsid sh -c 'echo $$ >left; sleep 1000; true' >/dev/null 2>&1 & until test -s left; do sleep 0.01; done; cat left"
)
SHOW = "find . -printf '%P %y %m\\n'; ls .. | wc -l"


async def start_again(engine: Engine, machine: Machine) -> Machine:
    fence = engine.machine("app", machine.id).events[0].id
    await engine.start_machine("app", machine.id, None)
    return await wait_for(engine, machine.id, "stopped", fence)


def test_a_start_after_one_that_left_nothing_renames_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await run_once(engine, ["true"])
        home = tmp_path / "machines" / machine.id
        before = [(home / place).stat().st_ino for place in ("1", "1/tmp")]
        for name in ("mkdir", "rmdir", "unlink"):
            monkeypatch.delattr(f"os.{name}")
        monkeypatch.delattr(asyncio, "to_thread")
        await start_again(engine, machine)
        monkeypatch.undo()
        assert [(home / place).stat().st_ino for place in ("2", "2/tmp")] == before
        assert [one.name for one in home.iterdir()] == ["2"]

    with_engine(tmp_path, scenario)


@pytest.mark.parametrize(
    "left",
    [
        "touch here",
        "touch tmp/here",
        "touch ../here",
        "mkdir -p ../here/tmp",
        "chmod 711 .",
        "chmod 711 tmp",
        "rmdir tmp",
        'mkdir "$0"; rmdir tmp; ln -s "$0" tmp',
        'rmdir tmp; cd ..; mv 1 "$0"; ln -s "$0" 1',
        "rmdir tmp; cd ..; rmdir 1; touch 1",
        "chmod 711 .. . tmp",
    ],
)
def test_a_start_after_one_that_left_something_has_a_fresh_directory(tmp_path: Path, left: str) -> None:
    async def scenario(engine: Engine) -> None:
        command = ["sh", "-c", f"{SHOW}; {left}", str(tmp_path / "outside")]
        machine = await run_once(engine, command)
        await start_again(engine, machine)
        shown = output_of(engine, machine)
        assert len(shown) == 6, shown
        assert shown[:3] == shown[3:]
        assert "1" in shown

    with_engine(tmp_path, scenario)


def test_files_are_put_into_a_renamed_directory(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await run_once(engine, ["sh", "-c", "cat here"])
        config: dict[str, Any] = machine.config | {"files": [{"guest_path": "/here", "raw_value": "aGk="}]}
        await engine.update("app", machine.id, {"config": config}, None)
        await wait_for(engine, machine.id, "stopped")
        await start_again(engine, machine)
        assert output_of(engine, machine) == ["hi"]

    with_engine(tmp_path, scenario)


@pytest.mark.parametrize("others", [0, 1])
def test_processes_are_looked_for_only_where_somebody_else_has_started_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """As the kernel counts them: here on a host whose only other process starts, or does not, during the run."""

    async def scenario(engine: Engine) -> None:
        machine = await run_once(engine, ["true"])
        counted, looked = iter((100, 101 + others)), list[Owned]()

        def look(owned: Owned) -> set[int]:
            looked.append(owned)
            return set()

        monkeypatch.setattr(child, "forks", lambda: next(counted))
        monkeypatch.setattr(procfs, "_pids_of", look)
        await start_again(engine, machine)
        monkeypatch.undo()
        assert len(looked) == others

    with_engine(tmp_path, scenario)


def test_runs_beside_each_other_are_no_reason_to_look_for_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(engine: Engine) -> None:
        machines = [await run_once(engine, ["true"]) for _ in range(5)]
        monkeypatch.setattr(child, "forks", lambda: 100 + engine.runtime._starts.own)  # type: ignore[attr-defined]
        monkeypatch.delattr(procfs, "_pids_of")
        await asyncio.gather(*(start_again(engine, machine) for machine in machines))
        monkeypatch.undo()

    with_engine(tmp_path, scenario)


@pytest.mark.parametrize("count", [None, 0])
def test_where_nothing_is_counted_processes_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int | None
) -> None:
    async def scenario(engine: Engine) -> None:
        monkeypatch.setattr(child, "forks", lambda: count)
        machine = await run_once(engine, ["sh", "-c", LEAVE])
        monkeypatch.undo()
        [pid] = output_of(engine, machine)
        assert not is_alive(int(pid))

    with_engine(tmp_path, scenario)


def test_what_an_exec_leaves_is_looked_for_whatever_was_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(engine: Engine) -> None:
        monkeypatch.setattr(child, "forks", lambda: 100 + engine.runtime._starts.own)  # type: ignore[attr-defined]
        machine = await started(engine, "echo >here; until test -e end; do sleep 0.01; done")
        left = {"command": ["sh", "-c", f"{LEAVE}; touch end"]}
        done = await engine.guest.execute("app", machine.id, left)
        await wait_for(engine, machine.id, "stopped")
        monkeypatch.undo()
        assert not is_alive(int(done.stdout))

    with_engine(tmp_path, scenario)
