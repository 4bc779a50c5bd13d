"""A machine whose port is in use ends with a log line that says who uses it."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.engine.engine import Engine
from reconciler.engine.models import Machine
from reconciler.engine.runtime import procfs
from tests.support.ports import free_port
from tests.support.real_processes import exists, output_of, run_once, wait_for, with_engine

pytestmark = pytest.mark.slow

LISTENER = """
import socket, sys, time
server = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print(server.getsockname()[1], flush=True)
open("up", "w").close()
time.sleep(3600)
"""
LISTEN = [sys.executable, "-c", LISTENER]
SHARED = "All machines of this engine share the ports of this host"


async def listening(engine: Engine, directory: Path, port: int) -> Machine:
    """A machine `first` whose command listens on the port."""
    engine.create_app("app", "personal")
    machine = engine.create("app", {"name": "first", "config": {"image": "i", "init": {"exec": [*LISTEN, str(port)]}}})
    await wait_for(engine, machine.id, "started")
    await exists(directory / "machines" / machine.id / "1" / "up")
    return machine


def explained(engine: Engine, machine: Machine) -> list[str]:
    return output_of(engine, machine, "")


def test_a_port_of_another_machine(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        port = free_port()
        first = await listening(engine, tmp_path, port)
        second = await run_once(engine, [*LISTEN, str(port)])
        [(pid, _)] = engine.machine("app", first.id).pids
        [line] = explained(engine, second)
        assert f"port {port} is in use by machine first (process {pid})" in line
        assert SHARED in line
        assert "declare `ports`" in line

    with_engine(tmp_path, scenario)


def test_a_machine_whose_server_is_known_by_its_mark_alone(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        port = free_port()
        engine.create_app("app", "personal")
        away = ["setsid", "--fork", *LISTEN, str(port)]
        config = {"image": "i", "init": {"exec": ["sh", "-c", '"$@"; sleep 999', "sh", *away]}}
        machine = engine.create("app", {"name": "first", "config": config})
        await exists(tmp_path / "machines" / machine.id / "1" / "up")
        [line] = explained(engine, await run_once(engine, [*LISTEN, str(port)]))
        assert f"port {port} is in use by machine first (process " in line

    with_engine(tmp_path, scenario)


def test_a_declared_port_that_the_output_does_not_name(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        port = free_port()
        await listening(engine, tmp_path, port)
        services = [{"internal_port": port, "protocol": "tcp", "ports": []}]
        command = ["sh", "-c", "echo 'Address already in use' >&2; exit 1"]
        [line] = explained(engine, await run_once(engine, command, services=services))
        assert f"port {port} is in use by machine first" in line
        assert "declare" not in line
        assert "listen on $PORT" in line

    with_engine(tmp_path, scenario)


def test_a_port_of_a_foreign_process(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        [line] = explained(engine, await run_once(engine, [*LISTEN, port]))
        assert f"port {port} is in use by process {holder.pid} ({Path(sys.executable).name})" in line

    with subprocess.Popen([*LISTEN, "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout
            port = holder.stdout.readline().strip()
            with_engine(tmp_path, scenario)
        finally:
            holder.kill()


def test_a_port_of_the_engine_itself(tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            [line] = explained(engine, await run_once(engine, [*LISTEN, str(port)]))
        assert f"port {port} is in use by this engine itself" in line

    with_engine(tmp_path, scenario)


def test_without_proc_the_holder_is_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "_PROC", tmp_path / "no-proc")

    async def scenario(engine: Engine) -> None:
        port = free_port()
        await listening(engine, tmp_path, port)
        [line] = explained(engine, await run_once(engine, [*LISTEN, str(port)]))
        assert line.startswith("a port that it listens on is in use on this host")
        assert SHARED in line

    with_engine(tmp_path, scenario)


@pytest.mark.parametrize("script", ["exit 1", "echo Address already in use; exit 0", "echo in use; kill -9 $$"])
def test_another_end_is_not_explained_so(tmp_path: Path, script: str) -> None:
    async def scenario(engine: Engine) -> None:
        port = free_port()
        await listening(engine, tmp_path, port)
        services = [{"internal_port": port, "protocol": "tcp", "ports": []}]
        assert explained(engine, await run_once(engine, ["sh", "-c", script], services=services)) == []

    with_engine(tmp_path, scenario)
