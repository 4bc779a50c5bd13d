"""The engine's GraphQL, asked in process."""

from typing import Any

import httpx

from tests.support.flyctl_api import at_root
from tests.support.world import World


async def raw(world: World, asked: str, **variables: Any) -> httpx.Response:
    return await at_root(world, "POST", "/graphql", json={"query": asked, "variables": variables})


async def ask(world: World, asked: str, **variables: Any) -> Any:
    """The answer, without the name of the one field that was asked for."""
    reply = await raw(world, asked, **variables)
    assert reply.status_code == 200, reply.text
    assert "errors" not in reply.json(), reply.text
    [answer] = reply.json()["data"].values()
    return answer


async def refused(world: World, asked: str, **variables: Any) -> tuple[str, str]:
    """The message and the code of the error."""
    [error] = (await raw(world, asked, **variables)).json()["errors"]
    return error["message"], error["extensions"].get("code", "")
