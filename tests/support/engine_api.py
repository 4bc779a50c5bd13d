"""The engine over HTTP, on virtual time."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from reconciler.engine.faults.settings import Settings
from reconciler.testing.transport import EngineTransport
from reconciler.testing.virtual_time import run_virtually
from tests.support.world import TOKEN, World, open_world

Ask = Callable[..., Awaitable[httpx.Response]]


def with_api(scenario: Callable[[World, Ask], Awaitable[None]], settings: Settings | None = None) -> None:
    async def run() -> None:
        async with open_world(settings) as world:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with httpx.AsyncClient(
                transport=EngineTransport(world.engine, TOKEN),
                base_url="http://127.0.0.1/v1",
                headers=headers,
                timeout=None,
            ) as http:
                await http.post("/apps", json={"app_name": "app", "org_slug": "personal"})

                async def ask(method: str, path: str, **options: Any) -> httpx.Response:
                    url = path if path.startswith("http") else f"/apps/app{path}"
                    return await http.request(method, url, **options)

                await scenario(world, ask)

    run_virtually(run())


async def make(ask: Ask, *words: str, name: str = "m", skip_launch: bool = True, **config: Any) -> str:
    body = {"name": name, "skip_launch": skip_launch, "config": {"image": "i", "init": {"cmd": list(words)}} | config}
    reply = await ask("POST", "/machines", json=body)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def error_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]
