"""Servers that are wrong on purpose, each in one way."""

from typing import Any

import httpx


class Quirky(httpx.AsyncBaseTransport):
    """The engine behind a server of other habits."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner

    async def ask(self, request: httpx.Request, method: str, path: str, **details: Any) -> httpx.Response:
        """What the engine answers to another request of the same caller."""
        url = request.url.copy_with(path=path, query=None)
        asked = httpx.Request(method, url, headers={"Authorization": request.headers["Authorization"]}, **details)
        return await self.answered(asked)

    async def answered(self, request: httpx.Request) -> httpx.Response:
        reply = await self.inner.handle_async_request(request)
        return httpx.Response(reply.status_code, headers=reply.headers, content=await reply.aread(), request=request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.answered(request)


def refusal(status: int, text: str) -> httpx.Response:
    return httpx.Response(status, json={"error": text})


class EndsLongWaits(Quirky):
    """A wait may be as long as one likes."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.params.get("timeout") == "61":
            return httpx.Response(200, json={"ok": True})
        return await self.answered(request)


class TakesAnyApp(Quirky):
    """An app that exists is made again."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await self.answered(request)
        is_taken = (request.method, request.url.path) == ("POST", "/v1/apps") and reply.status_code == 422
        return httpx.Response(201, json={"id": "probe"}) if is_taken else reply
