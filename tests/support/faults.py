"""The engine in process as a transport: logs requests, and shows the faults of the engine's adversity as httpx does."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from reconciler.engine.adversity import Adversity, ConnectionLost
from reconciler.http import httpx

# What may happen to any single request: a fault of the engine's adversity, and its details.
FAULTS: dict[str, dict[str, Any]] = {
    "connection refused": {"fault": "refuse_connection"},
    "reset before": {"fault": "lose_request"},
    "reset after": {"fault": "lose_reply"},
    "500 before": {"fault": "server_error"},
    "502 after": {"fault": "bad_gateway", "is_committed": True},
    "504 after": {"fault": "gateway_timeout", "is_committed": True},
    "408 after": {"fault": "upstream_timeout", "is_committed": True},
    "429": {"fault": "rate_limited"},
    "half a reply": {"fault": "half_reply"},
    "two minutes of silence": {"fault": "late_reply", "seconds": 120},
    "done two minutes later": {"fault": "late_request", "seconds": 120},
    "HTML after": {"fault": "html"},
    "503 before": {"fault": "unavailable"},
}


@dataclass
class InProcess(httpx.AsyncBaseTransport):
    """Passes requests on to the engine; `requests` holds all of them."""

    inner: httpx.AsyncBaseTransport
    adversity: Adversity
    requests: list[str] = field(default_factory=list)
    before: Callable[[httpx.Request], None] = lambda _request: None
    _under_way: set[asyncio.Task[httpx.Response]] = field(default_factory=set)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path.removeprefix('/v1')}")
        self.before(request)
        # A server goes on with a request whose client has given up.
        answering = asyncio.create_task(self.inner.handle_async_request(request))
        self._under_way.add(answering)
        answering.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(answering)
        except ConnectionLost as lost:
            if lost.is_refused:
                raise httpx.ConnectError("connection refused", request=request) from lost
            raise httpx.ReadError("connection reset", request=request) from lost

    def strike(self, name: str, *, ahead: int) -> None:
        """Lets the fault of this name of FAULTS strike the request that comes `ahead` from now, 0 being the next."""
        self.adversity.rules.clear()
        self.adversity.add(request=self.adversity.requests + ahead, **FAULTS[name])

    def relent(self) -> None:
        """Nothing goes wrong any more."""
        self.adversity.rules.clear()

    async def aclose(self) -> None:
        for answering in self._under_way:
            answering.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self.inner.aclose()


def shape(request: str) -> str:
    """The request without the ids in it: `POST /apps/*/machines/*/lease`."""
    return re.sub(r"(apps|machines)/[^/]+", r"\1/*", request)
