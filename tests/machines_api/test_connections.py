"""Connections on real sockets: how many are opened, which are used again, and the errors of those that break.

On both kinds of loops that apps have.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from reconciler.clock import SystemClock
from reconciler.machines_api.client import MachinesClient
from reconciler.machines_api.connections import Connections
from reconciler.machines_api.observe import observe

pytestmark = pytest.mark.usefixtures("real_time")

MACHINE = {"id": "148ed193b01189", "name": "m", "state": "stopped", "region": "iad", "config": {}}


@dataclass(slots=True, kw_only=True)
class Server:
    """What a server has seen; `answer` gets the connection's number and what it writes to."""

    answer: Callable[[int, asyncio.StreamWriter], Awaitable[None]]
    url: str = ""
    opened: int = 0
    requests: list[str] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        number = self.opened
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head.decode().splitlines()[0])
                await self.answer(number, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
        finally:
            writer.close()


async def good(_number: int, writer: asyncio.StreamWriter) -> None:
    write(writer, json.dumps([MACHINE]).encode())


def write(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(content), content))


@asynccontextmanager
async def serving(answer: Callable[[int, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[Server]:
    server = Server(answer=answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


async def run(
    answer: Callable[[int, asyncio.StreamWriter], Awaitable[None]],
    use: Callable[[httpx.AsyncClient, Server], Coroutine[Any, Any, None]],
    *,
    limit: int = 32,
    timeout: httpx.Timeout | None = None,
) -> Server:
    """What the server has seen once it was used."""

    async with serving(answer) as server:
        transport = Connections(ssl_context=None, limit=limit)
        async with httpx.AsyncClient(base_url=server.url, transport=transport, timeout=timeout) as http:
            await use(http, server)
        return server


async def test_a_snapshot_of_a_hundred_apps_opens_ten_connections_and_asks_once_for_each() -> None:
    names = [f"app-{number}" for number in range(100)]
    async with serving(good) as server:
        async with MachinesClient(base_url=server.url, token=None, clock=SystemClock()) as client:
            observed = await observe(client, names, clock=SystemClock())
        assert all(len(app.machines) == 1 for app in observed.apps.values())
    assert server.opened == 10
    asked = [f"GET /v1/apps/{name}/machines?limit=1000&include_leases=true HTTP/1.1" for name in names]
    assert sorted(server.requests) == sorted(asked)


async def test_requests_one_after_another_share_a_connection() -> None:
    async def use(http: httpx.AsyncClient, _server: Server) -> None:
        for method in ("GET", "POST", "DELETE"):
            assert (await http.request(method, "/")).json() == [MACHINE]

    assert (await run(good, use)).opened == 1


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    async def close(_number: int, writer: asyncio.StreamWriter) -> None:
        write(writer, b"{}")
        writer.close()
        await writer.wait_closed()

    async def use(http: httpx.AsyncClient, server: Server) -> None:
        for _ in range(3):
            server.closed.clear()
            assert (await http.post("/")).json() == {}
            await server.closed.wait()

    assert (await run(close, use)).opened == 3


async def test_no_more_requests_are_under_way_than_the_limit_and_one_waits_no_longer_than_it_may() -> None:
    async def use(http: httpx.AsyncClient, server: Server) -> None:
        async def answer(_number: int, writer: asyncio.StreamWriter) -> None:
            arrived.release()
            await free.wait()
            write(writer, b"{}")

        arrived, free, server.answer = asyncio.Semaphore(0), asyncio.Event(), answer
        asking = [asyncio.ensure_future(http.get("/")) for _ in range(5)]
        await arrived.acquire()
        await arrived.acquire()
        with pytest.raises(httpx.PoolTimeout):
            await http.get("/", timeout=httpx.Timeout(5, pool=0.05))
        assert len(server.requests) == 2
        free.set()
        assert {reply.status_code for reply in await asyncio.gather(*asking)} == {200}

    server = await run(good, use, limit=2)
    assert (server.opened, len(server.requests)) == (2, 5)


async def cut_off(_number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[")
    writer.close()


async def no_http(_number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-x\r\n\r\n")


async def silent(_number: int, _writer: asyncio.StreamWriter) -> None:
    return


@pytest.mark.parametrize(
    ("answer", "error"),
    [(cut_off, httpx.RemoteProtocolError), (no_http, httpx.RemoteProtocolError), (silent, httpx.ReadTimeout)],
)
async def test_a_broken_answer_is_an_error_of_httpx_and_ends_its_connection(
    answer: Callable[[int, asyncio.StreamWriter], Awaitable[None]], error: type[Exception]
) -> None:
    async def use(http: httpx.AsyncClient, server: Server) -> None:
        with pytest.raises(error) as caught:
            await http.get("/", timeout=0.1)
        assert isinstance(caught.value, httpx.HTTPError)
        assert str(caught.value.request.url) == f"{server.url}/"
        await server.closed.wait()
        server.answer = good
        assert (await http.get("/")).json() == [MACHINE]

    assert (await run(answer, use)).opened == 2


async def test_a_server_that_is_not_there_is_an_error_of_httpx() -> None:
    async def use(_http: httpx.AsyncClient, _server: Server) -> None:
        async with httpx.AsyncClient(transport=Connections(ssl_context=None, limit=1)) as http:
            for _ in range(2):  # the place is free again
                with pytest.raises(httpx.ConnectError):
                    await http.get("http://127.0.0.1:1/")

    await run(good, use)


async def test_a_request_that_is_given_up_ends_its_connection() -> None:
    async def use(http: httpx.AsyncClient, server: Server) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await http.get("/")
        async with asyncio.timeout(5):
            await server.closed.wait()

    await run(silent, use)


async def test_connections_that_are_closed_end_what_is_under_way_and_send_nothing_more() -> None:
    async def use(_http: httpx.AsyncClient, server: Server) -> None:
        async def answer(_number: int, _writer: asyncio.StreamWriter) -> None:
            arrived.set()

        arrived, server.answer = asyncio.Event(), answer
        connections = Connections(ssl_context=None, limit=2)
        asking = asyncio.ensure_future(connections.handle_async_request(httpx.Request("GET", server.url)))
        await arrived.wait()
        await connections.aclose()
        with pytest.raises(httpx.TransportError):
            await asking
        with pytest.raises(RuntimeError, match="were closed"):
            await connections.handle_async_request(httpx.Request("GET", server.url))
        assert server.opened == 1

    await run(good, use)
