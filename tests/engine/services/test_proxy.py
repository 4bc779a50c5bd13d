"""Services on real sockets: start on demand, share load, pass checks, stop when idle."""

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.clock import SystemClock
from reconciler.engine.engine import Engine
from reconciler.engine.faults.settings import Latency, Settings
from reconciler.engine.machines.wait import Wait
from reconciler.engine.models import Machine
from reconciler.engine.runtime.process import ProcessRuntime
from reconciler.engine.services.checks import Checks
from reconciler.engine.services.declared import Candidate, choose
from reconciler.engine.services.proxy import Proxy
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

SERVER = """
import asyncio, os, signal, sys

async def serve(reader, writer):
    line = await reader.readline()
    while (await reader.readline()).strip():
        pass
    await asyncio.sleep(float(os.environ.get("TAKES_S", "0")))
    status = "200 OK" if not os.path.exists("sick") else "500 Sick"
    body = os.environ["FLY_MACHINE_ID"].encode()
    head = f"HTTP/1.1 {status}\\r\\nContent-Length: {len(body)}\\r\\nConnection: close\\r\\n\\r\\n"
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()

async def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else int(os.environ["PORT"])
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=512)
    await server.serve_forever()

asyncio.run(main())
"""
Scenario = Callable[["Services"], Awaitable[None]]


class Services:
    """An engine with its proxy and checks, one app, and a program that answers with its machine's id."""

    def __init__(self, engine: Engine, proxy: Proxy, program: Path) -> None:
        self.engine = engine
        self.proxy = proxy
        self.program = program
        self.port = free_port()

    async def pool(self, count: int, *arguments: str, config: Any = None, **service: Any) -> list[str]:
        """That many machines of the service, at rest; their ids."""
        declared = {"internal_port": 8080, "protocol": "tcp", "ports": [{"port": self.port, "handlers": ["http"]}]}
        whole = {
            "image": "i",
            "init": {"exec": [sys.executable, str(self.program), *arguments]},
            "restart": {"policy": "no"},
            "services": [declared | {"autostart": True} | service],
        }
        ids = []
        for number in range(count):
            body = {"name": f"web-{number}", "skip_launch": True, "config": whole | (config or {})}
            ids.append(self.engine.create("app", body).id)
        for machine_id in ids:
            await self.reaches(machine_id, "stopped")
        return ids

    async def reaches(self, machine_id: str, state: str) -> Machine:
        return await self.engine.wait("app", machine_id, Wait(states=[state], timeout_s=30))

    async def get(self, path: str = "/") -> tuple[str, str]:
        """The status and the body of a GET on the service's port."""
        async with asyncio.timeout(30):
            while not self.proxy.addresses:  # noqa: ASYNC110
                await asyncio.sleep(0)
            host, _, port = self.proxy.addresses[0].address.partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
            writer.close()
            await writer.wait_closed()
        return head.partition("\r\n")[0].partition(" ")[2], body

    def starts(self, machine_id: str) -> int:
        return self.engine.machine("app", machine_id).runs


def with_services(home: Path, scenario: Scenario, *, idle_s: float = 1000.0, cordon_s: float = 0.0) -> None:
    async def run() -> None:
        program = home / "server.py"
        program.write_text(SERVER)
        settings = Settings(latency=Latency(prepare_s=0, idle_s=idle_s, cordon_s=cordon_s))
        runtime = ProcessRuntime(home / "machines")
        engine = Engine(database=home / "engine.db", runtime=runtime, clock=SystemClock(), settings=settings)
        proxy, checks = Proxy(engine), Checks(engine)
        checks.start()
        proxy.start()
        await engine.start()
        engine.create_app("app", "personal")
        try:
            await scenario(Services(engine, proxy, program))
        finally:
            await proxy.close()
            await checks.close()
            await engine.close()

    asyncio.run(run())


def test_two_hundred_connections_at_once_wake_three_machines_once_each_and_then_they_rest(tmp_path: Path) -> None:
    async def scenario(services: Services) -> None:
        ids = await services.pool(3, autostop="stop", config={"env": {"TAKES_S": "0.2"}})
        replies = await asyncio.gather(*(services.get() for _ in range(200)))
        assert {status for status, _ in replies} == {"200 OK"}
        served = Counter(body for _, body in replies)
        assert set(served) == set(ids)
        assert max(served.values()) < 100, served
        assert [services.starts(machine_id) for machine_id in ids] == [1, 1, 1]
        for machine_id in ids:
            machine = await services.reaches(machine_id, "stopped")
            request = machine.events[0].request
            assert request
            assert request["exit_event"]["requested_stop"]
        assert (await services.get())[0] == "200 OK"
        assert sorted(services.starts(machine_id) for machine_id in ids) == [1, 1, 2]

    with_services(tmp_path, scenario, idle_s=0.5)


def test_a_machine_that_a_connection_suspended_when_idle_goes_on_with_the_next(tmp_path: Path) -> None:
    async def scenario(services: Services) -> None:
        [machine_id] = await services.pool(1, autostop="suspend")
        await services.get()
        await services.reaches(machine_id, "suspended")
        assert await services.get() == ("200 OK", machine_id)
        assert services.starts(machine_id) == 1, "it was resumed, and not started anew"

    with_services(tmp_path, scenario, idle_s=0.2)


def test_min_machines_running_stay(tmp_path: Path) -> None:
    async def scenario(services: Services) -> None:
        ids = await services.pool(3, autostop=True, min_machines_running=1)
        for machine_id in ids:
            await services.engine.start_machine("app", machine_id, None)
        rested: set[str] = set()
        async with asyncio.timeout(20):
            while len(rested) < 2:
                rested = {one for one in ids if services.engine.machine("app", one).state == "stopped"}
                await asyncio.sleep(0.02)
        [stays] = set(ids) - rested
        assert await services.get() == ("200 OK", stays)
        assert services.engine.machine("app", stays).state == "started"

    with_services(tmp_path, scenario, idle_s=0.3)


def test_a_program_that_listens_on_its_internal_port_itself_is_found(tmp_path: Path) -> None:
    async def scenario(services: Services) -> None:
        port = free_port()
        [machine_id] = await services.pool(1, str(port), internal_port=port)
        assert await services.get() == ("200 OK", machine_id)

    with_services(tmp_path, scenario)


def test_what_cannot_serve_is_told_and_is_not_started_again_and_again(tmp_path: Path) -> None:
    async def scenario(services: Services) -> None:
        ids = await services.pool(2, config={"init": {"exec": ["false"]}})
        status, body = await services.get()
        assert (status, body) == ("503 Service Unavailable", "no machine of this service could serve.\n")
        assert [services.starts(machine_id) for machine_id in ids] == [1, 1]

    with_services(tmp_path, scenario)


def test_machines_without_autostart_and_cordoned_ones_are_left_alone(tmp_path: Path) -> None:
    async def scenario(services: Services) -> None:
        first, second = await services.pool(2)
        await services.engine.cordon("app", first, None, is_cordoned=True)
        assert await services.get() == ("200 OK", second)
        assert services.starts(first) == 0

    with_services(tmp_path, scenario)


def test_a_cordon_and_its_end_are_heeded_after_a_while(tmp_path: Path) -> None:
    async def scenario(services: Services) -> None:
        [machine] = await services.pool(1)
        cordon = services.engine.cordon
        await cordon("app", machine, None, is_cordoned=True)
        assert await services.get() == ("200 OK", machine), "the proxy does not know of it yet"
        await asyncio.sleep(0.5)
        asking = asyncio.create_task(services.get())
        await asyncio.sleep(0.1)
        assert not asking.done()
        await cordon("app", machine, None, is_cordoned=False)
        assert await asking == ("200 OK", machine)

    with_services(tmp_path, scenario, cordon_s=0.4)


def test_ports_come_and_go_with_the_machines_that_declare_them(tmp_path: Path) -> None:
    async def scenario(services: Services) -> None:
        ids = await services.pool(2)
        await services.get()
        assert [(one.app, one.port, one.address) for one in services.proxy.addresses] == [
            ("app", services.port, f"127.0.0.1:{services.port}")
        ]
        for machine_id in ids:
            await services.engine.destroy("app", machine_id, None, force=True)
            await services.reaches(machine_id, "destroyed")
        async with asyncio.timeout(10):
            while services.proxy.addresses:  # noqa: ASYNC110
                await asyncio.sleep(0)

    with_services(tmp_path, scenario)


def test_a_port_that_is_taken_is_served_elsewhere_and_said(tmp_path: Path) -> None:
    async def scenario(services: Services) -> None:
        with socket.create_server(("127.0.0.1", services.port)):
            await services.pool(1)
            assert (await services.get())[0] == "200 OK"
            assert services.proxy.addresses[0].address != f"127.0.0.1:{services.port}"

    with_services(tmp_path, scenario)


def test_checks_are_made_and_reported(tmp_path: Path) -> None:
    checks = {
        "alive": {"type": "tcp", "port": 8080, "interval": "100ms"},
        "well": {"type": "http", "port": 8080, "path": "/health", "interval": "100ms", "grace_period": "5s"},
        "nobody": {"type": "tcp", "port": 9, "interval": "100ms", "timeout": "200ms"},
    }

    async def scenario(services: Services) -> None:
        [machine_id] = await services.pool(1, config={"checks": checks})
        await services.engine.start_machine("app", machine_id, None)
        machine = services.engine.machine("app", machine_id)

        async def reported(expected: dict[str, str]) -> None:
            async with asyncio.timeout(20):
                while True:
                    found = services.engine.check_results.of(machine) or {}
                    if {name: one.status for name, one in found.items()} == expected:
                        return
                    await asyncio.sleep(0.02)

        await reported({"alive": "passing", "well": "passing", "nobody": "critical"})
        (tmp_path / "machines" / machine_id / "1" / "sick").write_text("")
        await reported({"alive": "passing", "well": "critical", "nobody": "critical"})
        assert (services.engine.check_results.of(machine) or {})["well"].output == "status 500"
        await services.engine.stop_machine("app", machine_id, {}, None)
        await services.reaches(machine_id, "stopped")
        assert services.engine.check_results.of(machine) is None

    with_services(tmp_path, scenario)


def test_the_least_loaded_is_chosen_then_one_at_rest_then_up_to_the_hard_limit() -> None:
    def one(name: str, load: int, *, awake: bool = True, wakes: bool = True, hard: int | None = 30) -> Candidate:
        return Candidate(machine_id=name, is_awake=awake, can_wake=wakes, load=load, soft=20, hard=hard)

    def chosen(*candidates: Candidate) -> str | None:
        found = choose(candidates)
        return found.machine_id if found else None

    rest = one("rest", 0, awake=False)
    assert chosen(one("a", 5), one("b", 3), rest) == "b"
    assert chosen(one("a", 20), rest) == "rest"
    assert chosen(one("a", 20), one("b", 25), one("stays", 0, awake=False, wakes=False)) == "a"
    assert chosen(one("a", 30), one("b", 30)) is None
    assert chosen(one("a", 3000, hard=None)) == "a"
    assert chosen() is None
