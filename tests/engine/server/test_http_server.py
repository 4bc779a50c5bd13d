"""The engine's HTTP server, asked with bytes: order, bodies, endings, and what is no HTTP."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvloop

from reconciler.engine.http.messages import MAX_BODY, JSONResponse, NoReply, Request, Response, StreamingResponse
from reconciler.engine.server import http_server
from reconciler.engine.server.connection import Connection
from reconciler.engine.server.http_server import EngineServer

HOST = b"Host: 127.0.0.1\r\n"


def get(path: bytes) -> bytes:
    """A request of nothing but what HTTP 1.1 needs."""
    return b"GET %b HTTP/1.1\r\n" % path + HOST + b"\r\n"


class Asked:
    """A server whose replies tell what was asked; some paths are answered in a way of their own."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.is_asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.has_turn = asyncio.Event()
        self.stream_began = asyncio.Event()
        self.stream_ended = asyncio.Event()

    async def respond(self, request: Request) -> Response:
        self.seen.append(request)
        self.is_asked.set()
        match request.path:
            case "/slow":
                await self.go_on.wait()
            case "/turn":
                self.has_turn.set()
                await asyncio.sleep(0)
            case "/odd":
                return Response(headers={"odd": "\u20ac"})
            case "/broken":
                raise RuntimeError("a bug")
            case "/cut":
                return NoReply(is_refused=False)
            case "/stream":
                return StreamingResponse(self.pieces(), "text/plain")
            case "/slow_stream":
                await self.go_on.wait()
                return StreamingResponse(self.pieces(), "text/plain")
            case "/nothing":
                return Response(status_code=204)
        length = None if request.content is None else len(request.content)
        return JSONResponse({"path": request.path, "length": length})

    async def pieces(self) -> AsyncIterator[str]:
        self.stream_began.set()
        try:
            yield "one"
            await self.go_on.wait()
            yield "two"
        finally:
            self.stream_ended.set()


Scenario = Callable[[Asked, EngineServer, "Opened"], Awaitable[None]]
Opened = Callable[[], Any]


def served(scenario: Scenario) -> None:
    async def run() -> None:
        asked = Asked()
        engine = cast("Any", SimpleNamespace(begin_close=asked.go_on.set))
        server = EngineServer(engine, asked.respond)
        listener = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve(listener))

        @asynccontextmanager
        async def opened() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            try:
                yield reader, writer
            finally:
                writer.close()

        try:
            async with asyncio.timeout(30):
                await scenario(asked, server, opened)
                server.stop()
                await serving
        finally:
            serving.cancel()

    for make_loop in (asyncio.new_event_loop, uvloop.new_event_loop):
        broken: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.get_loop().set_exception_handler(partial(noted, broken))
            runner.run(run())
        gc.collect()  # tasks whose exception nobody has seen tell of it now
        assert broken == []


def noted(broken: list[dict[str, Any]], _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    broken.append(context)


async def reply_of(reader: asyncio.StreamReader) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Status line, headers and body of the next reply."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
    return status, headers, await reader.readexactly(int(headers.get(b"content-length", b"0")))


def test_requests_that_come_at_once_are_answered_in_order() -> None:
    async def scenario(asked: Asked, _server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            many = [b"/slow", *(b"/%d" % number for number in range(40))]
            writer.write(b"".join(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST) for path in many))
            await writer.drain()
            await asked.is_asked.wait()
            asked.go_on.set()
            bodies = [(await reply_of(reader))[2] for _ in many]
            assert bodies == [b'{"path":"%b","length":0}' % path for path in many]

    served(scenario)


def test_no_more_is_read_while_many_requests_wait() -> None:
    class Reading(asyncio.Transport):
        """A transport that knows whether it is read."""

        is_read = True

        def pause_reading(self) -> None:
            self.is_read = False

        def resume_reading(self) -> None:
            self.is_read = True

        def is_closing(self) -> bool:
            return False

        def write(self, data: object) -> None:
            pass

    async def scenario(asked: Asked, server: EngineServer, _opened: Opened) -> None:
        transport, most = Reading(), 16
        connection = Connection(server, asyncio.get_running_loop())
        connection.connection_made(transport)
        connection.data_received(get(b"/slow") + get(b"/turn") * (2 * most))
        seen = []
        asked.go_on.set()
        while len(asked.seen) <= 2 * most:
            await asked.has_turn.wait()
            asked.has_turn.clear()
            seen.append(transport.is_read)
        assert seen == [*[False] * (most + 1), *[True] * (most - 1)]
        connection.connection_lost(None)

    served(scenario)


def test_a_request_in_pieces_a_chunked_one_and_one_that_asks_first() -> None:
    async def scenario(asked: Asked, server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(get(b"/"))
            await reply_of(reader)
            for byte in b"POST /a%20b?x=1&y=%2F HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd":
                next(iter(server.connections)).data_received(bytes([byte]))
            assert (await reply_of(reader))[2] == b'{"path":"/a b","length":4}'
            assert asked.seen[-1].query_params.multi_items() == [("x", "1"), ("y", "/")]
            writer.write(
                b"POST /c HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            )
            assert (await reply_of(reader))[2] == b'{"path":"/c","length":5}'
            writer.write(b"POST /d HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"ok")
            assert (await reply_of(reader))[2] == b'{"path":"/d","length":2}'

    served(scenario)


def test_a_body_that_is_too_long_is_not_kept_and_the_connection_goes_on() -> None:
    async def scenario(asked: Asked, _server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(b"POST /long HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1))
            writer.write(b"x" * (MAX_BODY + 1))
            writer.write(get(b"/next"))
            assert (await reply_of(reader))[2] == b'{"path":"/long","length":null}'
            assert (await reply_of(reader))[2] == b'{"path":"/next","length":0}'

    served(scenario)


@pytest.mark.parametrize(
    ("request_bytes", "status", "closes"),
    [
        (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", b"HTTP/1.1 200 OK", True),
        (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK", True),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", b"HTTP/1.1 200 OK", False),
        (b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n", b"HTTP/1.1 400 Bad Request", True),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", b"HTTP/1.1 400 Bad Request", True),
        (get(b"/broken"), b"HTTP/1.1 500 Internal Server Error", True),
        (b"what is this\r\n\r\n", b"HTTP/1.1 400 Bad Request", True),
        (get(b"/"), b"HTTP/1.1 200 OK", False),
    ],
)
def test_a_reply_says_whether_the_connection_goes_on(request_bytes: bytes, status: bytes, closes: bool) -> None:
    async def scenario(_asked: Asked, _server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(request_bytes)
            found, headers, _ = await reply_of(reader)
            assert (found, headers.get(b"connection")) == (status, b"close" if closes else None)
            assert headers[b"date"].endswith(b" GMT")
            if closes:
                assert await reader.read() == b""

    served(scenario)


def test_the_body_of_a_request_that_offers_another_protocol_is_read() -> None:
    async def scenario(_asked: Asked, _server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
            for _ in range(2):
                writer.write(b"POST /a HTTP/1.1\r\n" + HOST + offer + b"Content-Length: 4\r\n\r\nabcd")
            writer.write(b"POST /b HTTP/1.1\r\n" + HOST + offer + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert (await reply_of(reader))[2] == b'{"path":"/a","length":4}'
            assert (await reply_of(reader))[2] == b'{"path":"/a","length":4}'
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abcGET /c HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (await reply_of(reader))[2] == b'{"path":"/b","length":3}'
            assert (await reply_of(reader))[2] == b'{"path":"/c","length":0}'

    served(scenario)


@pytest.mark.parametrize(
    ("after", "statuses"),
    [
        (b"what is this\r\n\r\n", [b"HTTP/1.1 200 OK", b"HTTP/1.1 400 Bad Request"]),
        (b"GET / HTTP/1.0\r\n\r\nand more", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK"]),
        (
            b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
            [b"HTTP/1.1 200 OK", b"HTTP/1.1 100 Continue"],
        ),
        (
            b"POST / HTTP/1.0\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
            [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK"],
        ),
    ],
)
def test_what_comes_while_a_reply_is_under_way_is_answered_after_it(after: bytes, statuses: list[bytes]) -> None:
    async def scenario(asked: Asked, _server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(get(b"/slow") + after)
            await asked.is_asked.wait()
            asked.go_on.set()
            assert [(await reply_of(reader))[0] for _ in statuses] == statuses

    served(scenario)


def test_a_head_without_end_is_refused() -> None:
    async def scenario(_asked: Asked, server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(get(b"/"))
            await reply_of(reader)
            (connection,) = server.connections
            connection.data_received(b"GET / HTTP/1.1\r\nX: " + b"x" * 512 * 1024)
            assert (await reply_of(reader))[0] == b"HTTP/1.1 400 Bad Request"
            assert await reader.read() == b""

    served(scenario)


CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def test_trailers_are_no_headers_and_have_an_end() -> None:
    async def scenario(asked: Asked, server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(CHUNKED + b"2\r\nok\r\n0\r\nAuthorization: x\r\nHost: evil.example\r\n\r\n")
            assert (await reply_of(reader))[2] == b'{"path":"/","length":2}'
            assert asked.seen[-1].headers == [(b"host", b"127.0.0.1"), (b"transfer-encoding", b"chunked")]
            (connection,) = server.connections
            connection.data_received(CHUNKED + b"0\r\nX: ")
            connection.data_received(b"x" * 512 * 1024)
            assert (await reply_of(reader))[0] == b"HTTP/1.1 400 Bad Request"
            assert await reader.read() == b""

    served(scenario)


def test_a_long_body_in_chunks_is_not_taken_for_trailers() -> None:
    async def scenario(_asked: Asked, server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(get(b"/"))
            await reply_of(reader)
            (connection,) = server.connections
            connection.data_received(CHUNKED + b"c0000\r\n")
            for _ in range(3):
                connection.data_received(b"x" * 0x40000)
            for _ in range(3):  # each ends with the header of the next chunk
                connection.data_received(b"\r\n40000\r\n")
                connection.data_received(b"x" * 0x40000)
            connection.data_received(b"\r\n0\r\n\r\n")
            assert (await reply_of(reader))[2] == b'{"path":"/","length":%d}' % (6 * 0x40000)

    served(scenario)


def test_a_client_that_closes_its_own_side_gets_its_replies() -> None:
    async def scenario(asked: Asked, _server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(get(b"/slow") + get(b"/next") + b"GET /half HTT")
            await asked.is_asked.wait()
            writer.write_eof()
            async with opened() as (other, to_other):
                to_other.write(get(b"/other"))
                await reply_of(other)  # the server has seen the end by now
            asked.go_on.set()
            assert (await reply_of(reader))[2] == b'{"path":"/slow","length":0}'
            assert (await reply_of(reader))[2] == b'{"path":"/next","length":0}'
            assert await reader.read() == b""

    served(scenario)


def test_no_stream_begins_for_a_client_that_may_have_gone() -> None:
    async def scenario(asked: Asked, _server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(get(b"/slow_stream"))
            await asked.is_asked.wait()
            writer.write_eof()
            async with opened() as (other, to_other):
                to_other.write(get(b"/other"))
                await reply_of(other)  # the server has seen the end by now
            asked.go_on.set()
            assert await reader.read() == b""
        assert not asked.stream_began.is_set()

    served(scenario)


def test_a_connection_that_only_began_a_request_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_SWEEP_S", 0.01)

    async def scenario(asked: Asked, _server: EngineServer, opened: Opened) -> None:
        monkeypatch.setattr(http_server, "KEEP_ALIVE_S", 120.0)
        async with opened() as (idle, _), opened() as (head, to_head), opened() as (body, to_body):
            to_head.write(b"GET / HTTP/1.1\r\nHo")
            to_body.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nx")
            async with opened() as (reader, writer):
                writer.write(get(b"/slow"))
                await asked.is_asked.wait()  # what was sent before has come too
                monkeypatch.setattr(http_server, "KEEP_ALIVE_S", 0.0)
                assert [await one.read() for one in (idle, head, body)] == [b"", b"", b""]
                asked.go_on.set()
                assert (await reply_of(reader))[2] == b'{"path":"/slow","length":0}'

    served(scenario)


def test_no_stream_begins_for_a_client_that_has_gone() -> None:
    async def scenario(asked: Asked, server: EngineServer, opened: Opened) -> None:
        async with opened() as (_reader, writer):
            writer.write(get(b"/slow_stream"))
            await asked.is_asked.wait()
            (connection,), (answering,) = server.connections, server.tasks
            connection.abort()
            asked.go_on.set()
            await answering
        assert not asked.stream_began.is_set()

    served(scenario)


def test_replies_without_a_body() -> None:
    async def scenario(_asked: Asked, _server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(b"HEAD /x HTTP/1.1\r\n" + HOST + b"\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"content-length: 24\r\n" in head
            writer.write(get(b"/nothing"))
            status, headers, _ = await reply_of(reader)
            assert status == b"HTTP/1.1 204 No Content"
            assert b"content-length" not in headers
            writer.write(get(b"/cut"))
            with suppress(ConnectionResetError):
                assert await reader.read() == b""

    served(scenario)


def test_a_stream_comes_in_chunks_and_ends_with_its_reader() -> None:
    async def scenario(asked: Asked, _server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(get(b"/stream"))
            assert b"transfer-encoding: chunked\r\n" in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(8) == b"3\r\none\r\n"
        await asked.stream_ended.wait()
        asked.go_on.set()
        async with opened() as (reader, writer):
            writer.write(b"GET /stream HTTP/1.0\r\n\r\n")
            assert (await reader.read()).endswith(b"\r\n\r\nonetwo")
        async with opened() as (reader, writer):
            writer.write(b"GET /stream HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            assert b"connection: close\r\n" in await reader.readuntil(b"\r\n\r\n")
            assert (await reader.read()).endswith(b"3\r\ntwo\r\n0\r\n\r\n")

    served(scenario)


def test_a_stop_waits_for_replies_and_not_for_idle_connections() -> None:
    async def scenario(asked: Asked, server: EngineServer, opened: Opened) -> None:
        async with opened() as (idle, _), opened() as (reader, writer):
            writer.write(get(b"/slow"))
            await asked.is_asked.wait()
            server.stop()  # which ends long polls
            _, headers, body = await reply_of(reader)
            assert (headers[b"connection"], body) == (b"close", b'{"path":"/slow","length":0}')
            assert await idle.read() == b""
            assert await reader.read() == b""

    served(scenario)


def test_a_reply_that_cannot_be_sent_ends_the_connection() -> None:
    async def scenario(_asked: Asked, _server: EngineServer, opened: Opened) -> None:
        async with opened() as (reader, writer):
            writer.write(get(b"/odd"))
            with suppress(ConnectionResetError):
                assert await reader.read() == b""

    served(scenario)
