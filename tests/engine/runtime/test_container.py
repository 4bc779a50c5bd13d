"""The container runtime with real containers: ends, output, limits, files, crashes."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.clock import SystemClock
from reconciler.containers.client import ContainerEngine
from reconciler.engine.engine import Engine
from reconciler.engine.errors import EngineStartError
from reconciler.engine.machines.wait import Wait
from reconciler.engine.models import Machine
from reconciler.engine.runtime.base import Runtime
from reconciler.engine.runtime.container import ContainerRuntime
from reconciler.engine.runtime.select import make_runtime
from reconciler.engine.server.daemon import engine_status, read_token, start_engine, stop_engine
from reconciler.model.image import ImageReference
from tests.support.podman import NEEDS_PODMAN, Podman, busybox_context, podman_service

pytestmark = pytest.mark.slow

IMAGE = "registry.fly.io/app:one"
Scenario = Callable[[Engine], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    folder = tmp_path_factory.mktemp("podman")
    with podman_service(folder) as service:
        service.build(busybox_context(folder / "image"), IMAGE)
        yield service


async def no_login(_image: ImageReference) -> None:
    return None


def runtime_of(podman: Podman, owner: str = "test") -> ContainerRuntime:
    engine = ContainerEngine(f"unix://{podman.socket}")
    return ContainerRuntime(engine, owner=owner, authenticate=no_login, network="host")


def with_engine(database: Path, runtime: Callable[[], Runtime], scenario: Scenario) -> None:
    async def run() -> None:
        engine = Engine(database=database, runtime=runtime(), clock=SystemClock())
        await engine.start()
        try:
            await scenario(engine)
        finally:
            await engine.close()

    asyncio.run(run())


async def made(engine: Engine, script: str | None, **config: Any) -> Machine:
    """A machine at rest that runs the script, or its image's own command."""
    if "app" not in engine.store.apps:
        engine.create_app("app", "personal")
    init = {} if script is None else {"init": {"exec": ["/bin/sh", "-c", script]}}
    body = {"config": {"image": IMAGE, "restart": {"policy": "no"}, **init} | config}
    machine = engine.create("app", body | {"skip_launch": True})
    return await waited(engine, machine, "stopped")


async def waited(engine: Engine, machine: Machine, state: str, fence: str | None = None) -> Machine:
    return await engine.wait("app", machine.id, Wait(states=[state], timeout_s=60, from_event_id=fence))


async def run_to_end(engine: Engine, machine: Machine) -> dict[str, Any]:
    """The exit event of one run."""
    fence = engine.machine("app", machine.id).events[0].id
    await engine.start_machine("app", machine.id, None)
    return exit_of(await waited(engine, machine, "stopped", fence))


def exit_of(machine: Machine) -> dict[str, Any]:
    request = next(event.request for event in machine.events if event.type == "exit")
    assert request
    found: dict[str, Any] = request["exit_event"]
    return found


def lines(engine: Engine, machine: Machine, stream: str = "stdout") -> list[str]:
    return [entry.message for entry in engine.store.logs("app", machine.id, 0) if entry.stream == stream]


@NEEDS_PODMAN
def test_the_commands_of_the_config_take_the_place_of_the_images(podman: Podman, tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        own = await made(engine, None)
        assert (await run_to_end(engine, own))["exit_code"] == 5
        assert lines(engine, own) == ["the image says hello"]
        cmd = await made(engine, None, init={"cmd": ["/bin/sh", "-c", "echo $1; exit 6", "x", "cmd"]})
        assert (await run_to_end(engine, cmd))["exit_code"] == 6
        assert lines(engine, cmd) == ["cmd"]
        both = await made(engine, None, init={"entrypoint": ["/bin/sh", "-c"], "cmd": ["echo both; exit 7"]})
        assert (await run_to_end(engine, both))["exit_code"] == 7
        assert lines(engine, both) == ["both"]

    with_engine(tmp_path / "db", lambda: runtime_of(podman), scenario)


@NEEDS_PODMAN
def test_env_files_streams_and_a_fresh_filesystem_at_each_start(podman: Podman, tmp_path: Path) -> None:
    script = "echo $WHO $GREETING $FLY_APP_NAME; cat /etc/deep/conf >&2; ls /left 2>/dev/null; touch /left; exit 3"
    file = {"guest_path": "/etc/deep/conf", "raw_value": "Y29uZg==", "mode": 0o600}

    async def scenario(engine: Engine) -> None:
        machine = await made(engine, script, env={"WHO": "me"}, files=[file])
        for _ in range(2):
            exited = await run_to_end(engine, machine)
            assert (exited["exit_code"], exited["signal"], exited["oom_killed"]) == (3, -1, False)
        assert lines(engine, machine) == ["me hello app"] * 2
        assert lines(engine, machine, "stderr") == ["conf"] * 2

    with_engine(tmp_path / "db", lambda: runtime_of(podman), scenario)


@NEEDS_PODMAN
def test_a_machine_that_takes_more_memory_than_its_guest_has_is_killed_for_it(podman: Podman, tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        script = "x=$(tr '\\0' x </dev/zero | head -c 200000000); echo survived"
        machine = await made(engine, script, guest={"memory_mb": 32, "cpus": 1})
        exited = await run_to_end(engine, machine)
        assert exited["oom_killed"]
        assert exited["exit_code"] == 137
        assert lines(engine, machine) == []

    with_engine(tmp_path / "db", lambda: runtime_of(podman), scenario)


@NEEDS_PODMAN
def test_stop_sends_its_signal_and_kills_after_its_timeout(podman: Podman, tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        polite = "trap 'echo bye; exit 4' TERM; echo up; while true; do sleep 0.05; done"
        deaf = "trap '' TERM; echo up; while true; do sleep 0.05; done"
        for script, code in ((polite, 4), (deaf, 137)):
            machine = await made(engine, script)
            fence = machine.events[0].id
            await engine.start_machine("app", machine.id, None)
            await said(engine, machine, "up")
            await engine.stop_machine("app", machine.id, {"signal": "SIGTERM", "timeout": "300ms"}, None)
            exited = exit_of(await waited(engine, machine, "stopped", fence))
            assert (exited["exit_code"], exited["requested_stop"], exited["oom_killed"]) == (code, True, False)

    with_engine(tmp_path / "db", lambda: runtime_of(podman), scenario)


async def said(engine: Engine, machine: Machine, line: str) -> None:
    async with asyncio.timeout(20):
        while line not in lines(engine, machine):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@NEEDS_PODMAN
@pytest.mark.parametrize(("words", "code"), [(["/bin/nope"], 127), (["/own.sh"], 126)])
def test_a_command_that_cannot_run_ends_as_in_a_shell(
    podman: Podman, tmp_path: Path, words: list[str], code: int
) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await made(engine, None, init={"exec": words})
        assert (await run_to_end(engine, machine))["exit_code"] == code
        assert words[0] in " ".join(lines(engine, machine, ""))

    with_engine(tmp_path / "db", lambda: runtime_of(podman), scenario)


@NEEDS_PODMAN
def test_an_image_that_nobody_has_fails_the_machine_and_says_why(podman: Podman, tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await made(engine, None, image="127.0.0.1:1/nobody:has")
        await engine.start_machine("app", machine.id, None)
        assert engine.machine("app", machine.id).state == "failed"
        assert "unable to pull image 127.0.0.1:1/nobody:has" in lines(engine, machine, "")[0]

    with_engine(tmp_path / "db", lambda: runtime_of(podman), scenario)


@NEEDS_PODMAN
def test_several_processes_end_together(podman: Podman, tmp_path: Path) -> None:
    processes = [
        {"exec": ["/bin/sh", "-c", "while true; do sleep 0.05; done"]},
        {"exec": ["/bin/sh", "-c", "echo $PART; exit 8"], "env": {"PART": "second"}},
    ]

    async def scenario(engine: Engine) -> None:
        machine = await made(engine, None, processes=processes)
        assert (await run_to_end(engine, machine))["exit_code"] == 8
        assert lines(engine, machine) == ["second"]

    with_engine(tmp_path / "db", lambda: runtime_of(podman), scenario)
    assert podman("podman", "ps", "--all", "--quiet") == ""


@NEEDS_PODMAN
def test_exec_runs_a_command_besides(podman: Podman, tmp_path: Path) -> None:
    async def scenario(engine: Engine) -> None:
        machine = await made(engine, "touch /here; echo up; while true; do sleep 0.05; done")
        await engine.start_machine("app", machine.id, None)
        await said(engine, machine, "up")
        done = await engine.guest.execute(
            "app", machine.id, {"command": ["/bin/sh", "-c", "ls /here; echo e >&2; exit 9"]}
        )
        assert (done.code, done.stdout, done.stderr) == (9, "/here\n", "e\n")

    with_engine(tmp_path / "db", lambda: runtime_of(podman), scenario)


@NEEDS_PODMAN
def test_what_a_killed_engine_left_is_found_and_settled(
    podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in podman.environment.items():
        monkeypatch.setenv(name, value)
    home, another = tmp_path / "home", tmp_path / "another"
    machines = {}
    with live_engine(home) as (call, kill):
        call("POST", "/apps", {"app_name": "app", "org_slug": "personal"})
        for name, script in (("over", "exit 7"), ("on", "while true; do sleep 0.05; done")):
            words = ["/bin/sh", "-c", f"while ! ls /go 2>/dev/null; do sleep 0.05; done; {script}"]
            config = {"image": IMAGE, "init": {"exec": words}}
            machine = call("POST", "/apps/app/machines", {"name": name, "config": config})
            call("GET", f"/apps/app/machines/{machine['id']}/wait?state=started")
            machines[name] = f"/apps/app/machines/{machine['id']}"
        wait_for(lambda: len(podman("podman", "ps", "--quiet").split()) == 2)
        kill()
    containers = podman("podman", "ps", "--quiet").split()
    for container in containers:
        podman("podman", "exec", container, "/bin/touch", "/go")
    wait_for(lambda: len(podman("podman", "ps", "--quiet").split()) == 1)
    with live_engine(another):
        assert len(podman("podman", "ps", "--all", "--quiet").split()) == 2, "another engine's containers are not ours"
    with live_engine(home) as (call, _):
        over, on = (exit_in(call("GET", machines[name])) for name in ("over", "on"))
        assert over["exit_code"] == 7
        assert on["exit_code"] == -1
        assert "was killed" in on["error"]
    assert podman("podman", "ps", "--all", "--quiet") == ""


@contextmanager
def live_engine(home: Path) -> Iterator[tuple[Callable[..., dict[str, Any]], Callable[[], None]]]:
    """An engine in a process of its own, with a function that calls it and one that kills it."""
    status = start_engine(home, runtime="container")
    assert status.pid
    headers = {"Authorization": f"Bearer {read_token(home)}"}

    def call(method: str, path: str, body: Any = None) -> dict[str, Any]:
        reply = httpx.request(method, f"{status.url}/v1{path}", json=body, headers=headers, timeout=60, trust_env=False)
        assert reply.is_success, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def kill() -> None:
        assert status.pid
        os.kill(status.pid, signal.SIGKILL)
        wait_for(lambda: not engine_status(home).running)

    try:
        yield call, kill
    finally:
        stop_engine(home)


def exit_in(machine: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(one["request"] for one in machine["events"] if one["type"] == "exit")["exit_event"]
    return found


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@NEEDS_PODMAN
def test_the_first_engine_that_answers_is_taken_and_none_is_an_error_that_says_what_to_do(
    podman: Podman, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("t")

    async def connect(environment: dict[str, str]) -> str | None:
        runtime = await make_runtime("container", tmp_path, environment)
        await runtime.close()
        return runtime.container_host

    (tmp_path / "podman").mkdir()
    (tmp_path / "podman" / "podman.sock").symlink_to(podman.socket)
    found = asyncio.run(connect({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}))
    assert found == f"unix://{tmp_path}/podman/podman.sock"
    for host, why in (
        (f"unix://{tmp_path}/none", "nobody listens"),
        ("ssh://somewhere", "only unix:// and tcp:// are understood"),
    ):
        with pytest.raises(EngineStartError, match=why):
            asyncio.run(connect({"DOCKER_HOST": host}))
