"""HTTP with a container engine, by its socket or its address: calls, progress told line by line, output as it comes."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NoReturn

import httpx

from reconciler.containers.errors import ContainerError
from reconciler.containers.frames import unframed, unterminated

_CONNECT_S: Final = 5.0
_CALL_S: Final = 120.0
_LONGEST_TEXT: Final = 400


class Output:
    """The output of a container or of a command in it, as it comes. To be closed."""

    def __init__(self, reply: httpx.Response, *, has_terminal: bool) -> None:
        self._reply = reply
        self._split = unterminated if has_terminal else unframed

    async def parts(self) -> AsyncIterator[tuple[str, bytes]]:
        """The stream's name and what came on it, until the end. Raises ContainerError where the engine went away."""
        try:
            async for part in self._split(self._reply.aiter_raw()):
                yield part
        except httpx.HTTPError as error:
            raise ContainerError(f"the container engine went away: {type(error).__name__}") from error
        finally:
            await self.close()

    async def close(self) -> None:
        await self._reply.aclose()


class Wire:
    """The connections to one engine. Every call raises ContainerError where it is refused or not answered."""

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
        await self._http.aclose()

    async def json(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None) -> Any:
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
        timeout = httpx.Timeout(_CALL_S, connect=_CONNECT_S, read=None)
        request = self._http.build_request("POST", path, params=query, json=body, timeout=timeout)
        try:
            async with asyncio.timeout(_CALL_S):  # for the answer; what comes then may take as long as it does
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
        """The lines of JSON that a long call tells its progress with."""
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
