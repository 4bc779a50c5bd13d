"""An engine whose runtime is `process`, and what its machines really ran."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from reconciler.clock import SystemClock
from reconciler.engine.engine import Engine
from reconciler.engine.machines.wait import Wait
from reconciler.engine.models import Machine
from reconciler.engine.runtime.process import ProcessRuntime

Scenario = Callable[[Engine], Coroutine[Any, Any, None]]


def with_engine(home: Path, scenario: Scenario) -> None:
    async def run() -> None:
        runtime = ProcessRuntime(home / "machines")
        engine = Engine(database=home / "engine.db", runtime=runtime, clock=SystemClock())
        await engine.start()
        try:
            await scenario(engine)
        finally:
            await engine.close()

    asyncio.run(run())


async def run_once(engine: Engine, command: list[str], **config: Any) -> Machine:
    """The machine after one run of the command."""
    if "app" not in engine.store.apps:
        engine.create_app("app", "personal")
    body = {"config": {"image": "i", "init": {"exec": command}, "restart": {"policy": "no"}} | config}
    machine = engine.create("app", body | {"skip_launch": True})
    await wait_for(engine, machine.id, "stopped")
    fence = engine.machine("app", machine.id).events[0].id
    await engine.start_machine("app", machine.id, None)
    return await wait_for(engine, machine.id, "stopped", fence)


async def wait_for(engine: Engine, machine_id: str, state: str, fence: str | None = None) -> Machine:
    return await engine.wait("app", machine_id, Wait(states=[state], timeout_s=20, from_event_id=fence))


def exit_of(machine: Machine) -> dict[str, Any]:
    event = next(event for event in machine.events if event.type == "exit")
    assert event.request
    exited: dict[str, Any] = event.request["exit_event"]
    return exited


def output_of(engine: Engine, machine: Machine, stream: str = "stdout") -> list[str]:
    return [entry.message for entry in engine.store.logs("app", machine.id, 0) if entry.stream == stream]


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has reaped does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def started(engine: Engine, script: str, **config: Any) -> Machine:
    """A machine that runs the script, once that has written a file `here`."""
    engine.create_app("app", "personal")
    machine = engine.create("app", {"config": {"image": "i", "init": {"exec": ["sh", "-c", script]}} | config})
    await wait_for(engine, machine.id, "started")
    assert isinstance(engine.runtime, ProcessRuntime)
    await exists(engine.runtime.root / machine.id / "1" / "here")
    return machine


async def exists(path: Path) -> None:
    async with asyncio.timeout(20):
        while not path.exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
