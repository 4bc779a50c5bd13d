"""HTTP with a container engine: calls, progress, and the output of containers.

The output comes in frames: the number of the stream, three zero bytes, the length of the content in four bytes, and the
content (Docker Engine API, "Attach to a container", stream format). With a terminal there are no frames, and only
stdout.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NoReturn

import httpx

from reconciler.containers.errors import ContainerError

_CONNECT_S: Final = 5.0
_CALL_S: Final = 120.0
_LONGEST_TEXT: Final = 400
_FRAME_HEADER: Final = 8
_STDERR: Final = 2


class Output:
    """The output of a container or of a command in it. Close it after use."""

    def __init__(self, reply: httpx.Response, *, has_terminal: bool) -> None:
        self._reply = reply
        self._split = unterminated if has_terminal else unframed

    async def parts(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield the stream's name and bytes of it, until the end.

        Raises ContainerError where the connection breaks.
        """
        try:
            async for part in self._split(self._reply.aiter_raw()):
                yield part
        except httpx.HTTPError as error:
            raise ContainerError(f"the container engine went away: {type(error).__name__}") from error
        finally:
            await self.close()

    async def close(self) -> None:
        """Close it."""
        await self._reply.aclose()


class Wire:
    """The connections to one container engine.

    Each call raises ContainerError where it is refused or not answered.
    """

    def __init__(self, address: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.address = address
        is_socket = address.startswith("unix://")
        if transport is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)  # each run holds one or two
            path = address.removeprefix("unix://") if is_socket else None
            transport = httpx.AsyncHTTPTransport(uds=path, limits=limits)
        self._http = httpx.AsyncClient(
            transport=transport,
            base_url="http://localhost" if is_socket else address,
            timeout=httpx.Timeout(_CALL_S, connect=_CONNECT_S),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close it."""
        await self._http.aclose()

    async def json(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None) -> Any:
        """Send a request, and return the JSON of its reply."""
        reply = await self.call(method, path, query=query, json=body)
        try:
            return reply.json()
        except ValueError as error:
            raise ContainerError(f"what answers at {self.address} is no container engine") from error

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        timeout_s: float | None = _CALL_S,
        **content: Any,
    ) -> httpx.Response:
        """Send a request, and return its reply. `timeout_s` None waits for ever."""
        timeout = httpx.Timeout(timeout_s, connect=_CONNECT_S)
        try:
            reply = await self._http.request(method, path, params=query, timeout=timeout, **content)
        except httpx.HTTPError as error:
            self._unanswered(error)
        if reply.is_error:
            raise _refused(reply)
        return reply

    async def stream(
        self, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, has_terminal: bool = False
    ) -> Output:
        """Send a request, and return the output that its reply streams."""
        timeout = httpx.Timeout(_CALL_S, connect=_CONNECT_S, read=None)
        request = self._http.build_request("POST", path, params=query, json=body, timeout=timeout)
        try:
            async with asyncio.timeout(_CALL_S):  # for the reply only: the stream after it may take any time
                reply = await self._http.send(request, stream=True)
            if reply.is_error:
                await reply.aread()
        except (httpx.HTTPError, TimeoutError) as error:
            self._unanswered(error)
        if reply.is_error:
            raise _refused(reply)
        return Output(reply, has_terminal=has_terminal)

    async def progress(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, **content: Any
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the progress of a long call: one JSON object for each line of the reply."""
        timeout = httpx.Timeout(_CALL_S, connect=_CONNECT_S, read=None)
        try:
            async with self._http.stream(method, path, params=query, timeout=timeout, **content) as reply:
                if reply.is_error:
                    await reply.aread()
                    raise _refused(reply)
                async for line in reply.aiter_lines():
                    try:
                        said = json.loads(line)
                    except ValueError:
                        continue
                    if isinstance(said, dict):
                        yield said
        except httpx.HTTPError as error:
            self._unanswered(error)

    def _unanswered(self, error: Exception) -> NoReturn:
        why = {"ConnectError": "nobody listens", "ConnectTimeout": "no connection in time"}.get(type(error).__name__)
        if "Permission denied" in str(error):
            why = "permission denied: is your user in the socket's group?"
        raise ContainerError(f"no answer from {self.address}: {why or type(error).__name__}") from error


def _refused(reply: httpx.Response) -> ContainerError:
    try:
        text = str(reply.json()["message"])
    except (ValueError, KeyError, TypeError):
        text = reply.text
    return ContainerError(text.strip()[:_LONGEST_TEXT] or f"HTTP {reply.status_code}", status=reply.status_code)


async def unframed(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    """Yield the stream's name, stdout or stderr, and bytes of it, from frames."""
    rest = b""
    left, name = 0, "stdout"
    async for chunk in chunks:
        rest += chunk
        while rest:
            if left:
                part, rest = rest[:left], rest[left:]
                left -= len(part)
                yield name, part
            elif len(rest) < _FRAME_HEADER:
                break
            else:
                name = "stderr" if rest[0] == _STDERR else "stdout"
                left = int.from_bytes(rest[4:_FRAME_HEADER], "big")
                rest = rest[_FRAME_HEADER:]


async def unterminated(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    """Yield the output of a container with a terminal, which is all stdout."""
    async for chunk in chunks:
        yield "stdout", chunk
