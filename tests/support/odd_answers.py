"""Answers of the API with something odd in them: any JSON in the place of any member, and JSON that breaks readers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.support.faults import shape

Path = tuple[Any, ...]
GONE: Final = object()  # in the place of a member: it is left out
# What no value of Python is written as, by the text that stands for it.
RAW: Final = {
    "@huge": "7" * 5000,
    "@deep": "[" * 5000 + "]" * 5000,
    "@nested": '{"a":' * 400 + "1" + "}" * 400,
    "@nan": "NaN",
    "@infinity": "-Infinity",
    "@exponent": "1e999",
    "@surrogate": '"\\ud800"',
    "@twice": '{"state": 1, "state": "stopped"}',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddity:
    """What is odd: the `junk` in the place of one member of the answer to one request, and to the next ones like it.

    `request` counts the requests from now; `place` chooses the member, whatever members the answer has; `times` is how
    many answers are odd.
    """

    request: int
    place: int
    junk: Any
    times: int = 1


class OddAnswers(httpx.AsyncBaseTransport):
    """Passes on what another transport answers, and lets `change` make something else of the JSON in it."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.change: Callable[[str, Any], Any] = lambda _request, value: value
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The other's response, changed."""
        response = await self._inner.handle_async_request(request)
        content = await response.aread()
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        try:
            value = json.loads(content)
        except ValueError:
            return httpx.Response(response.status_code, headers=headers, content=content)
        changed = self.change(shape(f"{request.method} {request.url.path}"), value)
        return httpx.Response(response.status_code, headers=headers, content=spelled(changed))

    def strike(self, oddity: Oddity) -> list[Path]:
        """Lets it be odd from now on; the list tells where it was: the request, and the path in its answer."""
        struck: list[Path] = []
        seen = count = 0

        def change(request: str, value: Any) -> Any:
            nonlocal seen, count
            seen += 1
            if seen == oddity.request + 1:
                struck.append((request, *path_in(value, oddity.place)))
            elif not (struck and count < oddity.times and struck[0][0] == request and has(value, struck[0][1:])):
                return value
            count += 1
            return with_junk(value, struck[0][1:], oddity.junk)

        self.change = change
        return struck


def has(value: Any, path: Path) -> bool:
    """Whether there is such a member."""
    for key in path:
        is_there = key in value if isinstance(value, dict) else isinstance(value, list) and key in range(len(value))
        if not is_there:
            return False
        value = value[key]
    return True


def path_in(value: Any, place: int) -> Path:
    """The path of one member: a walk down from the whole, which the digits of `place` direct."""
    path: Path = ()
    while isinstance(value, dict | list) and value:
        place, turn = divmod(place, len(value) + 1)
        if turn == len(value):
            break
        key = [*value][turn] if isinstance(value, dict) else turn
        path, value = (*path, key), value[key]
    return path


def with_junk(value: Any, path: Path, junk: Any) -> Any:
    """The value with the junk in the place of one member, or without the member."""
    if not path:
        return None if junk is GONE else junk
    changed = value.copy()
    if len(path) == 1 and junk is GONE:
        del changed[path[0]]
    else:
        changed[path[0]] = with_junk(value[path[0]], path[1:], junk)
    return changed


def spelled(value: Any) -> bytes:
    """The JSON text, with the texts of RAW in their places."""
    text = json.dumps(value)
    for name, raw in RAW.items():
        text = text.replace(json.dumps(name), raw)
    return text.encode()
