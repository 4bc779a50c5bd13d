"""What may go wrong with any single request, and the engine in process with it."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from reconciler.engine.engine import Engine
from reconciler.testing.transport import EngineTransport

# What may happen to any single request: a fault of the engine's fault rules, and its details.
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


class DeadError(BaseException):
    """What a dead process would send is never sent."""


@dataclass
class Death:
    """Whether the process has died."""

    is_dead: bool = False


@contextmanager
def dying(transport: EngineTransport, is_last: Callable[[httpx.Request], bool]) -> Iterator[Death]:
    """For the block, a process that dies instead of sending the first request of which `is_last` is true."""
    death = Death()

    def before(request: httpx.Request) -> None:
        death.is_dead = death.is_dead or is_last(request)
        if death.is_dead:
            raise DeadError

    transport.before = before
    try:
        with suppress(DeadError, BaseExceptionGroup):
            yield death
    finally:
        transport.before = lambda _request: None


def after_requests(requests: int) -> Callable[[httpx.Request], bool]:
    """For `dying`: once so many requests were sent."""
    sent = itertools.count()
    return lambda _request: next(sent) >= requests


def at_start(request: httpx.Request) -> bool:
    """For `dying`: before a machine is started."""
    return request.url.path.endswith("/start")


class UnguardedError(BaseException):
    """An update was sent that does not say which version of the machine it is for."""


class InProcess(EngineTransport):
    """The engine in process, with one fault at a time.

    Events of the types in `hidden` are in no answer, nor are the `untold` members of machines; with `has_no_pages` a
    `limit` is ignored. An update without `current_version` ends the test: in no scenario may one be sent, but where
    `allows_unguarded` is set.
    """

    def __init__(self, engine: Engine, token: str) -> None:
        super().__init__(engine, token)
        self.faults = engine.faults
        self.hidden: set[str] = set()
        self.untold: set[str] = set()
        self.has_no_pages = False
        self.unguarded: list[str] = []
        self.allows_unguarded = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The engine's response, without what is hidden."""
        if not self.allows_unguarded and _is_update(request) and not json.loads(request.content).get("current_version"):
            self.unguarded.append(request.url.path)
            raise UnguardedError(request.url.path)
        if self.has_no_pages and "limit" in request.url.params:
            request.url = request.url.copy_remove_param("limit")
        answer = await without_events(await super().handle_async_request(request), self.hidden)
        return await _without_members(answer, self.untold)

    def strike(self, name: str, *, ahead: int) -> None:
        """Lets the fault of this name of FAULTS strike the request that comes `ahead` from now, 0 being the next."""
        self.faults.rules.clear()
        self.faults.add(request=self.faults.requests + ahead, **FAULTS[name])

    def relent(self) -> None:
        """Nothing goes wrong any more."""
        self.faults.rules.clear()


def _is_update(request: httpx.Request) -> bool:
    return request.method == "POST" and bool(re.fullmatch(r".*/machines/[^/]+", request.url.path))


def shape(request: str) -> str:
    """The request without the ids in it: `POST /apps/*/machines/*/lease`."""
    return re.sub(r"(apps|machines)/[^/]+", r"\1/*", request)


async def _without_members(response: httpx.Response, untold: set[str]) -> httpx.Response:
    """The response without these members of the machine, or of each one in a list."""
    if not untold or response.status_code != 200:
        return response
    value = json.loads(await response.aread() or b"null")
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and "config" in one:
            for name in untold:
                one.pop(name, None)
    headers = {name: text for name, text in response.headers.items() if name.startswith("fly-")}
    return httpx.Response(response.status_code, headers=headers, json=value)


async def without_events(response: httpx.Response, hidden: set[str]) -> httpx.Response:
    """The response without the events of these types."""
    if not hidden:
        return response
    content = await response.aread()
    try:
        value = json.loads(content)
    except ValueError:
        return httpx.Response(response.status_code, headers=response.headers, content=content)
    return httpx.Response(response.status_code, json=_without_events(value, hidden))


def _without_events(value: Any, hidden: set[str]) -> Any:
    """The answer without the events of these types, in whatever list they are."""
    if isinstance(value, list):
        kept = [
            one for one in value if not (isinstance(one, dict) and one.get("type") in hidden and "timestamp" in one)
        ]
        return [_without_events(one, hidden) for one in kept]
    if isinstance(value, dict):
        return {key: _without_events(one, hidden) for key, one in value.items()}
    return value
