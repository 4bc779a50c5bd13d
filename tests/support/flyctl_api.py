"""The engine as flyctl asks it: at the root, without an app in the path."""

from datetime import datetime
from typing import Any

import httpx

from reconciler.testing.transport import EngineTransport
from tests.support.world import TOKEN, World


async def at_root(world: World, method: str, path: str, **options: Any) -> httpx.Response:
    """Asks for a path that is not one of the app's."""
    transport, headers = EngineTransport(world.engine, TOKEN), {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=None
    ) as http:
        return await http.request(method, path, **options)


def rfc3339(text: Any) -> datetime:
    """The time that the text tells; nothing else is one for a client in Go."""
    assert isinstance(text, str)
    assert text.endswith("Z")
    return datetime.fromisoformat(text)
