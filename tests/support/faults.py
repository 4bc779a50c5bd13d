"""A transport that misbehaves on purpose, around the engine in process."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.machines_api.http import httpx

LOST_BEFORE = "lost before"  # the connection breaks, and nothing was done
LOST_AFTER = "lost after"  # it was done, and the reply is lost
ERROR_BEFORE = "500 before"
ERROR_AFTER = "504 after"
TIMEOUT_AFTER = "408 after"
RATE_LIMITED = "429"
HALF_A_REPLY = "half a reply"
REFUSED = "connection refused"
EVERY_FAULT = (
    LOST_BEFORE,
    LOST_AFTER,
    ERROR_BEFORE,
    ERROR_AFTER,
    TIMEOUT_AFTER,
    RATE_LIMITED,
    HALF_A_REPLY,
    REFUSED,
)
_HAPPENS = {LOST_AFTER, ERROR_AFTER, TIMEOUT_AFTER, HALF_A_REPLY}


@dataclass
class Faults(httpx.AsyncBaseTransport):
    """Passes requests on; `at` maps a request's number (from 0) to a fault. `log` holds every request."""

    inner: httpx.AsyncBaseTransport
    at: dict[int, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    before: Callable[[httpx.Request], None] = lambda _request: None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number = len(self.log)
        self.log.append(f"{request.method} {request.url.path.removeprefix('/v1')}")
        self.before(request)
        fault = self.at.get(number)
        if fault is None or fault in _HAPPENS:
            reply = await self.inner.handle_async_request(request)
            if fault is None:
                return reply
            content = await reply.aread()
        match fault:
            case "connection refused":
                raise httpx.ConnectError("connection refused", request=request)
            case "lost before" | "lost after":
                raise httpx.ReadError("connection reset", request=request)
            case "500 before":
                return httpx.Response(500, json={"error": "unknown: it broke"})
            case "504 after":
                return httpx.Response(504, text="<html>gateway timeout</html>")
            case "408 after":
                return httpx.Response(408, json={"error": "deadline_exceeded: upstream"})
            case "429":
                return httpx.Response(429, json={"error": "resource_exhausted: rate limit exceeded"})
            case "half a reply":
                return httpx.Response(reply.status_code, content=content[: len(content) // 2])
        raise AssertionError(fault)

    async def aclose(self) -> None:
        await self.inner.aclose()


def shape(request: str) -> str:
    """The request without the ids in it: `POST /apps/*/machines/*/lease`."""
    return re.sub(r"(apps|machines)/[^/]+", r"\1/*", request)
