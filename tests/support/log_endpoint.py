"""The log endpoint of a world, on a bad day: what it answers instead of the engine, and when it was asked for what."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import httpx

from tests.support.world import World

BadAnswer = Callable[[httpx.Request], Any]
_FROM_NOW_ON: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One read of a log: at which moment, from which place, and whether it was answered well."""

    at_s: float
    token: str
    is_well: bool


class LogEndpoint:
    """Stands between a world's client and the logs of its engine, for as long as the world is open."""

    def __init__(self, world: World) -> None:
        self.asked: list[Asked] = []
        self.world = world
        self._bad: BadAnswer = refused(500)
        self._on: str | None = None
        self._struck = range(0)
        self._genuine = world.transport.handle_async_request
        world.transport.handle_async_request = self._answer  # type: ignore[method-assign]

    def strike(self, bad: BadAnswer, *, ahead: int = 0, times: int = _FROM_NOW_ON, on: str | None = None) -> None:
        """Answers badly so many times, after `ahead` more answers; where `on` is given about that machine only."""
        self._bad = bad
        self._on = on
        first = len(self.asked) + ahead
        self._struck = range(first, first + times)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/logs"):
            return await self._genuine(request)
        is_well = len(self.asked) not in self._struck or self._on not in {None, request.url.params["instance"]}
        token = request.url.params.get("next_token", "")
        self.asked.append(Asked(at_s=self.world.context.clock.monotonic(), token=token, is_well=is_well))
        if is_well:
            return await self._genuine(request)
        answer = self._bad(request)
        if asyncio.iscoroutine(answer):
            answer = await answer
        assert isinstance(answer, httpx.Response)
        return answer


def refused(status: int, **headers: str) -> BadAnswer:
    """An answer of this status."""
    return lambda _request: httpx.Response(status, json={"error": "not today"}, headers=headers)


def html(_request: httpx.Request) -> httpx.Response:
    """A page of some proxy."""
    return httpx.Response(200, html="<html>sign in</html>")


def half(_request: httpx.Request) -> httpx.Response:
    """An answer that was cut off."""
    return httpx.Response(200, content=b'{"data": [{"id": "1", "attr')


def dropped(request: httpx.Request) -> httpx.Response:
    """The connection breaks."""
    raise httpx.ReadError("connection reset", request=request)


async def silent(request: httpx.Request) -> httpx.Response:
    """No answer until the client gives up."""
    await asyncio.sleep(request.extensions["timeout"]["read"])
    raise httpx.ReadTimeout("the read operation timed out", request=request)


def endless(*, at_ms: Callable[[int], float]) -> BadAnswer:
    """One new line at each read, the n-th with the time `at_ms(n)`."""
    numbers = count()

    def answer(_request: httpx.Request) -> httpx.Response:
        number = next(numbers)
        attributes = {"timestamp": at_ms(number), "message": f"line {number}", "level": "info", "meta": {}}
        page = {"data": [{"id": f"endless-{number}", "attributes": attributes}]}
        return httpx.Response(200, json=page | {"meta": {"next_token": str(int(at_ms(number) * 1e6) + 1)}})

    return answer


BAD_ANSWERS: Final[dict[str, BadAnswer]] = {
    "401": refused(401),
    "404": refused(404),
    "429": refused(429, **{"retry-after": "1"}),
    "429 of a minute": refused(429, **{"retry-after": "60"}),
    "500": refused(500),
    "connection dropped": dropped,
    "half an answer": half,
    "HTML": html,
    "no answer": silent,
}
