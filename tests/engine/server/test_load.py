"""Many clients at once against the engine as a process: nothing acknowledged is lost.

Not by load, not by kill -9, not by a full disk.
"""

import asyncio
import itertools
import os
import random
import resource
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.engine.server.daemon import EngineStatus, engine_status, read_token, start_engine, stop_engine

pytestmark = pytest.mark.slow

CLIENTS = 50
CALLS = 40
SHARED = 6
ANSWERS = {200, 201, 204, 404, 408, 409, 412}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop_engine(tmp_path / "home")


def open_http(home: Path, status: EngineStatus) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"{status.url}/v1/apps/app",
        headers={"Authorization": f"Bearer {read_token(home)}"},
        limits=httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS),
        trust_env=False,
        timeout=60,
    )


def body(name: str, image: str = "i") -> dict[str, Any]:
    config = {"image": image, "init": {"exec": ["true"]}, "restart": {"policy": "no"}}
    return {"name": name, "skip_launch": True, "config": config}


@dataclass
class Client:
    """One client: what it asked for, and what was acknowledged."""

    number: int
    http: httpx.AsyncClient
    shared: list[str]
    created: set[str] = field(default_factory=set)
    destroyed: set[str] = field(default_factory=set)
    written: dict[str, str] = field(default_factory=dict)  # machine -> last acknowledged value of this client's key
    asked: dict[str, str] = field(default_factory=dict)
    statuses: set[int] = field(default_factory=set)
    done: int = 0
    lost: str = ""  # why it ended early

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        reply = await self.http.request(method, path, **options)
        self.statuses.add(reply.status_code)
        self.done += 1
        return reply

    async def work(self) -> None:
        """Calls of all kinds, one after another, until the engine is gone."""
        rng = random.Random(self.number)
        try:
            for turn in range(CALLS):
                await self.turn(rng, turn)
        except httpx.TransportError as error:
            self.lost = repr(error)

    async def turn(self, rng: random.Random, turn: int) -> None:
        machine = rng.choice(self.shared)
        match rng.randrange(8):
            case 0:
                reply = await self.ask("POST", "/machines", json=body(f"m-{self.number}-{turn}"))
                self.created.add(reply.json()["id"])
            case 1 if self.created - self.destroyed:
                mine = min(self.created - self.destroyed)
                self.asked[mine] = "destroy"
                await self.ask("DELETE", f"/machines/{mine}?force=true")
                self.destroyed.add(mine)
            case 2:
                await self.ask("GET", "/machines")
            case 3:
                await self.ask("POST", f"/machines/{machine}/start")
            case 4:
                await self.ask("GET", f"/machines/{machine}/wait?state=stopped&timeout=1")
            case 5:
                lease = await self.ask("POST", f"/machines/{machine}/lease", json={"ttl": 5})
                if lease.status_code == 201:
                    nonce = {"fly-machine-lease-nonce": lease.json()["data"]["nonce"]}
                    await self.ask("DELETE", f"/machines/{machine}/lease", headers=nonce)
            case _:
                self.asked[machine] = str(turn)
                await self.ask("POST", f"/machines/{machine}/metadata/c{self.number}", json={"value": str(turn)})
                self.written[machine] = str(turn)


async def set_up(home: Path) -> tuple[httpx.AsyncClient, list[Client]]:
    status = engine_status(home)
    async with open_http(home, status) as http:
        await http.post(f"{status.url}/v1/apps", json={"name": "app", "org_slug": "personal"})
        shared = [(await http.post("/machines", json=body(f"shared-{n}"))).json()["id"] for n in range(SHARED)]
    http = open_http(home, status)
    return http, [Client(number=number, http=http, shared=shared) for number in range(CLIENTS)]


async def check(home: Path, clients: list[Client]) -> None:
    """Everything that was acknowledged is there, and every machine's story makes sense."""
    async with open_http(home, engine_status(home)) as http:
        listed = {machine["id"]: machine for machine in (await http.get("/machines")).json()}
        for client in clients:
            assert client.statuses <= ANSWERS, client.statuses
            gone = client.destroyed | {machine for machine, what in client.asked.items() if what == "destroy"}
            assert client.created - gone <= set(listed)
            for machine in client.destroyed & set(listed):
                await http.get(f"/machines/{machine}/wait?state=destroyed&timeout=10")
            for machine, value in client.written.items():
                found = listed[machine]["config"]["metadata"][f"c{client.number}"]
                assert found in {value, client.asked[machine]}
        names = [machine["name"] for machine in listed.values()]
        assert len(names) == len(set(names))
        for machine in clients[0].shared:
            events = (await http.get(f"/machines/{machine}/events?limit=50")).json()
            kinds = [event["type"] for event in events if event["type"] in {"start", "exit"}]
            assert all(one != other for one, other in itertools.pairwise(kinds)), kinds


def test_fifty_clients_at_once_lose_nothing_and_see_no_error_of_the_server(home: Path) -> None:
    start_engine(home)

    async def scenario() -> None:
        http, clients = await set_up(home)
        async with http:
            await asyncio.gather(*(client.work() for client in clients))
        assert {client.lost for client in clients} == {""}
        assert all(client.done >= CALLS for client in clients)
        await check(home, clients)

    asyncio.run(scenario())


def test_killed_in_the_middle_of_it_nothing_acknowledged_is_lost(home: Path) -> None:
    pid = start_engine(home).pid
    assert pid

    async def until_killed() -> list[Client]:
        http, clients = await set_up(home)
        async with http:
            work = asyncio.gather(*(client.work() for client in clients))
            while sum(client.done for client in clients) < CLIENTS * CALLS // 2:
                await clients[0].http.get("/machines")
            os.kill(pid, signal.SIGKILL)
            await work
        assert sum(client.done for client in clients) < CLIENTS * CALLS
        return clients

    clients = asyncio.run(until_killed())
    os.waitpid(pid, 0)
    start_engine(home)
    asyncio.run(check(home, clients))


def largest_file(home: Path) -> int:
    return max(file.stat().st_size for file in home.glob("engine.db*"))


def test_a_full_disk_is_a_503_in_words_and_room_again_is_enough(home: Path) -> None:
    status = start_engine(home)
    assert status.pid
    pid = status.pid

    async def scenario() -> None:
        async with open_http(home, status) as http:
            await http.post(f"{status.url}/v1/apps", json={"name": "app", "org_slug": "personal"})
            made = [(await http.post("/machines", json=body("first"))).json()["id"]]
            limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest_file(home) + 100_000, limits[1]))
            refused = None
            for number in range(500):
                reply = await http.post("/machines", json=body(f"m-{number}"))
                if reply.status_code != 200:
                    refused = reply
                    break
                made.append(reply.json()["id"])
            assert refused is not None
            assert refused.status_code == 503
            assert "the engine cannot write" in refused.json()["error"]
            assert {machine["id"] for machine in (await http.get("/machines")).json()} == set(made)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
            made.append((await http.post("/machines", json=body("after"))).json()["id"])
            assert {machine["id"] for machine in (await http.get("/machines")).json()} == set(made)

    asyncio.run(scenario())
