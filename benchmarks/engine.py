"""The local engine's calls against a bare Starlette route, and its starts against bare subprocesses, in one run."""

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from benchmarks.measure import Figure
from reconciler.engine.server.daemon import read_token, start_engine, stop_engine

CLIENTS = 10
CALLS = 600
MACHINES = 1000
STARTS = 60
CONFIG = {"image": "i", "init": {"exec": ["true"]}, "restart": {"policy": "no"}}

Ask = Callable[[httpx.AsyncClient, int], Awaitable[object]]


@contextmanager
def bare_server() -> Iterator[str]:
    """The bare route in a process of its own, as the engine is in one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "benchmarks.bare_route:app",
        "--port",
        str(port),
        "--log-level",
        "error",
    ]
    process = subprocess.Popen([*command, "--no-access-log", "--lifespan", "off"])
    try:
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


async def rate(url: str, token: str, ask: Ask, calls: int) -> float:
    """Calls per second, by ten connections."""
    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, trust_env=False, timeout=60) as http:
        await ask(http, -1)
        began = time.perf_counter()

        async def client(first: int) -> None:
            for number in range(first, calls, CLIENTS):
                await ask(http, number)

        await asyncio.gather(*(client(first) for first in range(CLIENTS)))
        return calls / (time.perf_counter() - began)


def engine_figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory, bare_server() as bare:
        home = Path(directory)
        url, token = f"{start_engine(home).url}/v1/apps", read_token(home)
        try:
            rates = asyncio.run(_rates(bare, url, token))
        finally:
            stop_engine(home)
    route, subprocess_rate = "a bare Starlette route", _subprocess_rate()
    for name in ("get", "create", "list of 1,000"):
        yield _call(f"the local engine's {name}", rates[name], route, rates["route"])
    yield _call("the local engine's start of true", rates["start"], "a bare subprocess", subprocess_rate)


def _call(name: str, rate: float, baseline: str, baseline_rate: float) -> Figure:
    return Figure(name=name, amount=1 / rate, baseline=baseline, baseline_amount=1 / baseline_rate)


async def _rates(bare: str, url: str, token: str) -> dict[str, float]:
    """Calls of each kind in a second."""

    async def make(http: httpx.AsyncClient, number: int) -> None:
        body = {"name": f"m-{number}", "skip_launch": True, "config": CONFIG}
        (await http.post("/app/machines", json=body)).raise_for_status()

    async def route(http: httpx.AsyncClient, _number: int) -> None:
        await http.get("/")

    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http:
        await http.post(url, json={"name": "app", "org_slug": "personal"})
        route_rate = await rate(bare, token, route, CALLS)
        create_rate = await rate(url, token, make, MACHINES)
        ids = [machine["id"] for machine in (await http.get("/app/machines")).json()]

    async def get(http: httpx.AsyncClient, number: int) -> None:
        await http.get(f"/app/machines/{ids[number % len(ids)]}")

    async def get_list(http: httpx.AsyncClient, _number: int) -> None:
        await http.get("/app/machines")

    async def start(http: httpx.AsyncClient, number: int) -> None:
        machine = ids[number % len(ids)]
        await http.post(f"/app/machines/{machine}/start")
        await http.get(f"/app/machines/{machine}/wait?state=stopped")

    get_rate = await rate(url, token, get, CALLS)
    list_rate = await rate(url, token, get_list, 20)
    start_rate = await rate(url, token, start, STARTS)
    return {
        "route": route_rate,
        "create": create_rate,
        "get": get_rate,
        "list of 1,000": list_rate,
        "start": start_rate,
    }


def _subprocess_rate() -> float:
    began = time.perf_counter()
    for _ in range(STARTS):
        subprocess.run(["true"], check=True, capture_output=True)
    return STARTS / (time.perf_counter() - began)
