"""The engine over HTTP, on virtual time."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from reconciler.engine.faults.settings import Settings
from reconciler.testing.transport import EngineTransport
from reconciler.testing.virtual_time import run_virtually
from tests.support.world import TOKEN, World, open_world

Ask = Callable[..., Awaitable[httpx.Response]]


@asynccontextmanager
async def api_of(world: World) -> AsyncIterator[Ask]:
    """Asks the world's engine, for paths of its app `app`, or for whole URLs."""
    async with httpx.AsyncClient(
        transport=EngineTransport(world.engine, TOKEN),
        base_url="http://127.0.0.1/v1",
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=None,
    ) as http:
        await http.post("/apps", json={"app_name": "app", "org_slug": "personal"})

        async def ask(method: str, path: str, **options: Any) -> httpx.Response:
            return await http.request(method, path if path.startswith("http") else f"/apps/app{path}", **options)

        yield ask


def with_api(scenario: Callable[[World, Ask], Awaitable[None]], settings: Settings | None = None) -> None:
    """Runs the scenario in a world of its own; where one world is enough, a test takes `world` and `ask`."""

    async def run() -> None:
        async with open_world(settings) as world, api_of(world) as ask:
            await scenario(world, ask)

    run_virtually(run())


async def make(ask: Ask, *words: str, name: str = "m", skip_launch: bool = True, **config: Any) -> str:
    body = {"name": name, "skip_launch": skip_launch, "config": {"image": "i", "init": {"cmd": list(words)}} | config}
    reply = await ask("POST", "/machines", json=body)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def error_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]
