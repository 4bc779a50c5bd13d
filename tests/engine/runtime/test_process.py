"""The process runtime with real processes: ends, output, environment, signals."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from reconciler.clock import SystemClock
from reconciler.engine.engine import Engine
from reconciler.engine.errors import ApiFault
from reconciler.engine.runtime import process
from reconciler.engine.runtime.child import Child, start_child
from reconciler.engine.runtime.process import ProcessRuntime
from tests.support.real_processes import exists, exit_of, is_alive, output_of, run_once, started, wait_for, with_engine

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("command", "code", "number"),
    [
        (["true"], 0, -1),
        (["sh", "-c", "exit 7"], 7, -1),
        (["sh", "-c", "kill -9 $$"], 137, 9),
        (["no-such-command-anywhere"], 127, -1),
        (["/"], 126, -1),
    ],
)
def test_how_a_command_ends(tmp_path: Path, command: list[str], code: int, number: int) -> None:
    async def scenario(engine: Engine) -> None:
        exited = exit_of(await run_once(engine, command))
        assert (exited["exit_code"], exited["guest_signal"], exited["restarting"]) == (code, number, False)

    with_engine(tmp_path, scenario)


def test_all_output_is_there_at_the_end_and_apart(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        script = "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; echo problem >&2; printf unended"
        machine = await run_once(engine, ["sh", "-c", script])
        lines = []
        after_ns = 0
        while page := engine.store.logs("app", machine.id, after_ns):
            lines += [entry.message for entry in page if entry.stream == "stdout"]
            after_ns = page[-1].timestamp_ns + 1
        assert lines == [str(number) for number in range(3000)] + ["unended"]
        assert [entry.message for entry in engine.store.logs("app", machine.id, None) if entry.stream == "stderr"] == [
            "problem"
        ]

    with_engine(tmp_path, scenario)


def test_a_build_context_is_copied_without_the_engines_home_in_it(tmp_path: Path) -> None:
    home = tmp_path / ".engine"
    (tmp_path / "program").write_text("run me")
    (home / "machines").mkdir(parents=True)
    (home / "token").write_text("secret")
    process._copy_context(tmp_path, home / "machines" / "1", without=home)
    assert [path.name for path in (home / "machines" / "1").rglob("*")] == ["program"]


def test_nothing_of_the_hosts_environment_but_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "seen")

    async def scenario(engine: Engine) -> None:
        machine = await run_once(engine, ["env"], env={"A": "b"})
        environment = dict(line.partition("=")[::2] for line in output_of(engine, machine))
        assert "CANARY" not in environment
        assert environment["A"] == "b"
        assert environment["PATH"] == os.environ["PATH"]
        assert environment["FLY_MACHINE_ID"] == machine.id
        assert environment["HOME"].startswith(str(tmp_path))

    with_engine(tmp_path, scenario)


def test_each_start_is_a_blank_slate_with_the_declared_files(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        script = 'test "$PWD" = "$HOME" && test ! -e mine && touch mine && cat etc/greeting'
        files = [{"guest_path": "/etc/greeting", "raw_value": "aGVsbG8="}]
        machine = await run_once(engine, ["sh", "-c", script], files=files)
        assert exit_of(machine)["exit_code"] == 0
        fence = machine.events[0].id
        await engine.start_machine("app", machine.id, None)
        machine = await wait_for(engine, machine.id, "stopped", fence)
        assert exit_of(machine)["exit_code"] == 0
        assert output_of(engine, machine) == ["hello", "hello"]

    with_engine(tmp_path, scenario)


def test_a_stop_is_asked_for_then_forced_and_takes_the_children_along(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        engine.create_app("app", "personal")
        script = "trap '' INT; sleep 1000 & echo $!; wait; wait"
        config = {"image": "i", "init": {"exec": ["sh", "-c", script]}, "restart": {"policy": "no"}}
        config["stop_config"] = {"signal": "SIGINT", "timeout": "200ms"}
        machine = engine.create("app", {"config": config})
        await wait_for(engine, machine.id, "started")
        while not output_of(engine, machine):
            await asyncio.wait_for(engine_change(engine, machine.id), 10)
        child = int(output_of(engine, machine)[0])
        await engine.stop_machine("app", machine.id, {}, None)
        machine = await wait_for(engine, machine.id, "stopped")
        exited = exit_of(machine)
        assert (exited["exit_code"], exited["requested_stop"]) == (137, True)
        assert not is_alive(child)

    with_engine(tmp_path, scenario)


def test_several_processes_end_together(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        processes = [{"name": "a", "cmd": ["sleep", "1000"]}, {"name": "b", "cmd": ["sh", "-c", "exit 4"]}]
        machine = await run_once(engine, [], init={}, processes=processes)
        assert exit_of(machine)["exit_code"] == 4

    with_engine(tmp_path, scenario)


def test_restarts_follow_the_policy(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await run_once(engine, ["false"], restart={"policy": "on-failure", "max_retries": 2})
        exits = [event.request["exit_event"] for event in machine.events if event.type == "exit" and event.request]
        assert [exited["restarting"] for exited in exits] == [False, True, True]

    with_engine(tmp_path, scenario)


async def engine_change(engine: Engine, machine_id: str) -> None:
    """Returns at the machine's next change, output included."""
    asked = iter([None])
    await engine.watchers.until(machine_id, lambda: next(asked, True), 10)


@pytest.mark.parametrize(
    ("body", "code", "stdout"),
    [
        ({"command": ["sh", "-c", "cat here; cat; exit 4"], "stdin": "and stdin"}, 4, "of the machine\nand stdin"),
        ({"cmd": "sh -c 'echo $WHO'"}, 0, "me\n"),
        ({"command": ["no-such-program"]}, 127, ""),
        ({"command": ["sh", "-c", "kill -9 $$"]}, 137, ""),
    ],
)
def test_exec_runs_a_command_besides(tmp_path: Path, body: dict[str, Any], code: int, stdout: str) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await started(engine, "echo of the machine >here; sleep 100", env={"WHO": "me"})
        done = await engine.guest.execute("app", machine.id, body)
        assert (done.code, done.stdout) == (code, stdout)

    with_engine(tmp_path, scenario)


def test_exec_is_given_up_after_its_timeout_and_ends_with_its_machine(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await started(engine, "echo x >here; exec sleep 100")
        with pytest.raises(ApiFault) as refused:
            await engine.guest.execute("app", machine.id, {"command": ["sleep", "60"], "timeout": 1})
        assert refused.value.status == 408
        besides = asyncio.create_task(
            engine.guest.execute("app", machine.id, {"command": ["sh", "-c", "echo >in; sleep 60"]})
        )
        await exists(tmp_path / "machines" / machine.id / "1" / "in")
        await engine.stop_machine("app", machine.id, {"signal": "SIGKILL"}, None)
        assert (await besides).signal == 9
        with pytest.raises(ApiFault) as refused:
            await engine.guest.execute("app", machine.id, {"command": ["true"]})
        assert refused.value.status == 412

    with_engine(tmp_path, scenario)


@pytest.mark.parametrize("body", [{}, {"command": []}, {"command": "true"}, {"command": [1]}, {"cmd": "'"}])
def test_an_exec_of_nothing_is_refused(tmp_path: Path, body: dict[str, Any]) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await started(engine, "echo x >here; exec sleep 100")
        with pytest.raises(ApiFault) as refused:
            await engine.guest.execute("app", machine.id, body)
        assert refused.value.status == 400

    with_engine(tmp_path, scenario)


def test_an_engine_that_closes_while_a_start_is_on_its_way_leaves_no_process(tmp_path: Path) -> None:
    """The command is there before its spawning returns: an end right then must still take it along."""

    async def scenario(engine: Engine) -> None:
        engine.create_app("app", "personal")
        spawned: list[int] = []
        real = start_child

        async def slow(*words: Any, **options: Any) -> Child:
            child = await real(*words, **options)
            spawned.append(child.pid)
            begun.set()
            await asyncio.sleep(0.2)
            return child

        begun = asyncio.Event()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(process, "start_child", slow)
            engine.create("app", {"config": {"image": "i", "init": {"exec": ["sh", "-c", "sleep 1000; true"]}}})
            await begun.wait()
            await engine.close()
        assert not is_alive(spawned[0])

    async def run() -> None:
        engine = Engine(database=tmp_path / "db", runtime=ProcessRuntime(tmp_path / "machines"), clock=SystemClock())
        await engine.start()
        await scenario(engine)

    asyncio.run(run())
