"""A transport of httpx that calls the engine in process."""

import asyncio
from collections.abc import Callable

import httpx

from reconciler.engine.engine import Engine
from reconciler.engine.faults.rules import ConnectionLost
from reconciler.engine.http.app import create_engine_app


class EngineTransport(httpx.AsyncBaseTransport):
    """Pass requests on to the engine.

    `requests` lists them, like `POST /apps/work/machines`. `before` is called with each request before the engine gets
    it. Raises httpx's own errors: ConnectError and ReadError where a fault breaks the connection, ReadTimeout where the
    reply takes longer than the client's read timeout.
    """

    def __init__(self, engine: Engine, token: str) -> None:
        self.requests: list[str] = []
        self.before: Callable[[httpx.Request], object] = lambda _request: None
        self._inner = httpx.ASGITransport(app=create_engine_app(engine, token=token))
        self._under_way: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the engine's response."""
        self.requests.append(listed(request.method, request.url.path))
        self.before(request)
        # As a server does, the engine goes on with a request whose client has given up.
        answering = asyncio.create_task(self._inner.handle_async_request(request))
        self._under_way.add(answering)
        answering.add_done_callback(self._answered)
        timeout_s = request.extensions.get("timeout", {}).get("read")
        await asyncio.wait({answering}, timeout=timeout_s)
        if not answering.done():
            raise httpx.ReadTimeout("the read operation timed out", request=request)
        try:
            return answering.result()
        except ConnectionLost as lost:
            if lost.is_refused:
                raise httpx.ConnectError("connection refused", request=request) from lost
            raise httpx.ReadError("connection reset", request=request) from lost

    def _answered(self, answering: asyncio.Task[httpx.Response]) -> None:
        self._under_way.discard(answering)
        if not answering.cancelled():
            answering.exception()  # the client has given up: mark the exception as retrieved

    async def aclose(self) -> None:
        """Cancel the requests that are under way."""
        for answering in self._under_way:
            answering.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._inner.aclose()


def listed(method: str, path: str) -> str:
    """Return a request as `requests` lists it."""
    return f"{method} {path.removeprefix('/v1')}"
