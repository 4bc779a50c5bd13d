"""A run ends with its main process: what it left behind is killed with it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.clock import SystemClock
from reconciler.engine.engine import Engine
from reconciler.engine.models import Machine
from reconciler.engine.runtime import procfs
from reconciler.engine.runtime.base import Command, Launch, Limits, TakeOutput
from reconciler.engine.runtime.process import ProcessRuntime
from reconciler.engine.runtime.process_runs import RunningProcesses
from tests.support.real_processes import (
    exists,
    exit_of,
    is_alive,
    output_of,
    run_once,
    started,
    wait_for,
    with_engine,
)

pytestmark = pytest.mark.slow

PROMPT_S = 15.0  # what is left behind sleeps for an hour: on a busy machine this is still "at once"
DAEMON = """
import os, time
os.fork() and os._exit(0)
os.setsid()
os.fork() and os._exit(0)
open("left", "w").write(str(os.getpid()))
time.sleep(3600)
"""
WAYS = {
    "in the group": "sleep 3600 & echo $! >left",
    "in a session of its own": "setsid sh -c 'echo $$ >left; sleep 3600; true' &",
    "as a daemon": f"python3 -c '{DAEMON}'",
    "with its output elsewhere": "setsid sh -c 'echo $$ >left; sleep 3600; true' >/dev/null 2>&1 &",
}
STRAY = "setsid sh -c 'echo $$ >left; sleep 3600; true' & while ! test -s left; do sleep 0.01; done; touch here; "


def stray_of(engine: Engine, machine: Machine, number: int = 1) -> int:
    assert isinstance(engine.runtime, ProcessRuntime)
    return int((engine.runtime.root / machine.id / str(number) / "left").read_text())


@pytest.mark.parametrize("way", WAYS)
def test_a_run_ends_with_its_main_process_and_takes_along_what_it_left(tmp_path: Path, way: str) -> None:
    async def scenario(engine: Engine) -> None:
        script = f"{WAYS[way]}\nwhile ! test -s left; do sleep 0.01; done; echo done; exit 3"
        async with asyncio.timeout(PROMPT_S):
            machine = await run_once(engine, ["sh", "-c", script])
        assert exit_of(machine)["exit_code"] == 3
        assert output_of(engine, machine) == ["done"]
        assert not is_alive(stray_of(engine, machine))

    with_engine(tmp_path, scenario)


def test_what_cleared_its_environment_is_ended_while_the_one_that_started_it_runs(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await started(engine, STRAY.replace("sh -c", "env -i sh -c") + "sleep 3600")
        await engine.stop_machine("app", machine.id, {"signal": "SIGKILL"}, None)
        async with asyncio.timeout(PROMPT_S):
            await wait_for(engine, machine.id, "stopped")
        assert not is_alive(stray_of(engine, machine))

    with_engine(tmp_path, scenario)


@pytest.mark.parametrize("call", ["stop", "destroy", "close"])
def test_nothing_that_left_its_session_holds_up_an_end(tmp_path: Path, call: str) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await started(engine, STRAY + "exec sleep 3600")
        stray = stray_of(engine, machine)
        async with asyncio.timeout(PROMPT_S):
            match call:
                case "stop":
                    await engine.stop_machine("app", machine.id, {"timeout": 0.1}, None)
                    await wait_for(engine, machine.id, "stopped")
                case "destroy":
                    await engine.destroy("app", machine.id, None, force=True)
                    await wait_for(engine, machine.id, "destroyed")
                case "close":
                    await engine.close()
        assert not is_alive(stray)

    with_engine(tmp_path, scenario)


def test_a_suspended_machine_stands_still_as_a_whole(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await started(engine, STRAY + "exec sleep 3600")
        await engine.suspend("app", machine.id, None)
        await becomes(stray_of(engine, machine), stopped=True)
        await engine.start_machine("app", machine.id, None)
        await becomes(stray_of(engine, machine), stopped=False)

    with_engine(tmp_path, scenario)


async def becomes(pid: int, *, stopped: bool) -> None:
    """Returns once the process stands still, or goes on: signals take their time to arrive."""
    async with asyncio.timeout(PROMPT_S):
        while (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T") is not stopped:  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)


def test_what_left_its_session_is_listed_with_its_machine(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await started(engine, STRAY + "exec sleep 3600")
        listed = await engine.guest.processes("app", machine.id)
        assert stray_of(engine, machine) in {one.pid for one in listed}

    with_engine(tmp_path, scenario)


def test_an_exec_ends_with_its_command_and_what_it_left_ends_with_the_machine(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await started(engine, "touch here; exec sleep 3600")
        async with asyncio.timeout(PROMPT_S):
            done = await engine.guest.execute("app", machine.id, {"command": ["sh", "-c", STRAY + "echo out; exit 5"]})
        assert (done.code, done.stdout) == (5, "out\n")
        await engine.stop_machine("app", machine.id, {"signal": "SIGKILL"}, None)
        await wait_for(engine, machine.id, "stopped")
        assert not is_alive(stray_of(engine, machine))

    with_engine(tmp_path, scenario)


def test_elsewhere_than_on_linux_groups_end_and_a_stray_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procfs, "_PROC", tmp_path / "no-proc")

    async def scenario(engine: Engine) -> None:
        in_group = "sleep 3600 & echo $! >grouped; "
        async with asyncio.timeout(PROMPT_S):
            machine = await run_once(engine, ["sh", "-c", in_group + STRAY + "echo done; exit 3"])
        assert exit_of(machine)["exit_code"] == 3
        assert output_of(engine, machine) == ["done"]
        grouped = int((tmp_path / "machines" / machine.id / "1" / "grouped").read_text())
        assert not is_alive(grouped)
        os.killpg(stray_of(engine, machine), 9)  # nothing tells of it
        assert await engine.guest.processes("app", machine.id) == []

    with_engine(tmp_path, scenario)


def test_groups_end_where_proc_is_there_and_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "_PROC", tmp_path)
    with subprocess.Popen(["sleep", "3600"], start_new_session=True) as process:
        try:
            procfs.signal_all(procfs.Owned(frozenset({process.pid}), tmp_path), 9)
            assert process.wait(PROMPT_S) == -9
        finally:
            process.kill()


ITSELF = """
import subprocess, sys
from pathlib import Path
from reconciler.engine.runtime.procfs import Owned, end_all
other = subprocess.Popen(["sleep", "3600"])
end_all(Owned(frozenset(), Path(sys.argv[1])))
print(other.wait())
"""


def test_an_engine_that_a_command_started_does_not_end_itself(tmp_path: Path) -> None:
    env = dict(os.environ) | {procfs.MARK: str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", ITSELF, str(tmp_path)], env=env, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "-9\n")


class DyingRuntime(ProcessRuntime):
    """Starts a machine, and its engine is killed before that is on record."""

    lost: RunningProcesses

    async def start(self, launch: Launch, take: TakeOutput) -> RunningProcesses:
        self.lost = await super().start(launch, take)
        await exists(self.root / launch.machine_id / "1" / "here")
        raise asyncio.CancelledError


def test_what_an_engine_started_as_it_was_killed_is_ended_by_the_next_one(tmp_path: Path) -> None:
    async def run() -> None:
        database, root = tmp_path / "db", tmp_path / "machines"
        dying = DyingRuntime(root)
        killed = Engine(database=database, runtime=dying, clock=SystemClock())
        await killed.start()
        killed.create_app("app", "personal")
        command = ["sh", "-c", STRAY + "echo $$ >main; exec sleep 3600"]
        machine = killed.create("app", {"config": {"image": "i", "init": {"exec": command}}})
        await exists(root / machine.id / "1" / "main")
        pids = [int((root / machine.id / "1" / name).read_text()) for name in ("main", "left")]
        following = Engine(database=database, runtime=ProcessRuntime(root), clock=SystemClock())
        await following.start()
        try:
            assert not any(is_alive(pid) for pid in pids)
            ended = following.machine("app", machine.id)
            assert ended.state == "stopped"
            assert exit_of(ended)["exit_code"] == -1
        finally:
            await following.close()
            await dying.lost.wait()
            killed.store.close()

    asyncio.run(run())


def test_the_end_of_one_start_does_not_reach_the_next_one_of_the_same_machine(tmp_path: Path) -> None:
    runtime = ProcessRuntime(tmp_path)

    def launch(number: int) -> Launch:
        sleeping = Command(cmd=("sleep", "3600"), env={})
        limits = Limits(memory_mb=256, cpus=1)
        return Launch(machine_id="m", name="m", number=number, image="i", commands=(sleeping,), files=(), limits=limits)

    async def run() -> None:
        first = await runtime.start(launch(1), lambda _stream, _line: None)
        second = await runtime.start(launch(12), lambda _stream, _line: None)
        await first.kill()
        assert [is_alive(one.pids[0][0]) for one in (first, second)] == [False, True]
        await first.wait()
        assert is_alive(second.pids[0][0])
        await second.kill()
        await second.wait()

    asyncio.run(run())
