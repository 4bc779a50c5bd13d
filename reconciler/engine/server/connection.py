"""One connection of the engine's HTTP server.

httptools parses what comes; one request after the other is answered.

Requests that come before the reply to the one before (pipelining) wait, and are answered in order. A request goes on
where its client hangs up; a stream ends.
"""

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import Any, Final, Protocol, cast
from urllib.parse import unquote

import httptools

from reconciler.engine.http.asgi import Respond
from reconciler.engine.http.messages import MAX_BODY, NoReply, Request, Response, StreamingResponse

_STATUS_LINES: Final = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n" for one in HTTPStatus}
_MOST_WAITING: Final = 16  # pipelined requests; then no more is read
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_INVALID: Final = Response("Invalid HTTP request received.", 400, media_type="text/plain")
_BROKEN: Final = Response("Internal Server Error", 500, media_type="text/plain")

_log = logging.getLogger("reconciler.engine")


class Server(Protocol):
    """What a connection needs of its server.

    `ended` is called when a request or the connection has ended.
    """

    respond: Respond
    connections: "set[Connection]"
    tasks: "set[asyncio.Task[None]]"
    is_stopping: bool

    def ended(self) -> None: ...

    def date(self) -> str: ...


class _Pending:
    """A request whose reply is not sent yet."""

    __slots__ = ("is_http_1_0", "keeps_alive", "request")

    def __init__(self, request: Request, *, keeps_alive: bool, is_http_1_0: bool) -> None:
        self.request = request
        self.keeps_alive = keeps_alive
        self.is_http_1_0 = is_http_1_0


class Connection(asyncio.Protocol):
    """A connection, from its beginning to its end.

    `idle_since_s` is None while it is in use.
    """

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[_Pending] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._is_streaming = False
        self._drained: asyncio.Event | None = None  # there while the client reads too slowly
        self.idle_since_s: float | None = loop.time()

    # The transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._waiting.clear()
        self.resume_writing()
        if self._answering and self._is_streaming:
            self._answering.cancel()
        self._server.ended()

    def pause_writing(self) -> None:
        self._drained = asyncio.Event()

    def resume_writing(self) -> None:
        if self._drained:
            self._drained.set()
            self._drained = None

    def data_received(self, data: bytes) -> None:
        self.idle_since_s = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as any other request; on_message_complete has seen to it that it is the last one
        except httptools.HttpParserError:
            self._refuse()

    def _refuse(self) -> None:
        """Answer what is no HTTP, unless a reply is under way; then close."""
        if self._answering is None and not self._transport.is_closing():
            self._write(_INVALID, None, keeps_alive=False)
        self._transport.close()

    # The parser's calls

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._content = bytearray()
        self._is_too_long = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers):
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        if len(self._content) + len(body) > MAX_BODY:
            self._is_too_long = True
            self._content.clear()
        if not self._is_too_long:
            self._content += body

    def on_message_complete(self) -> None:
        url, parser = httptools.parse_url(self._url), self._parser
        path = (url.path or b"/").decode("ascii")
        request = Request(
            parser.get_method().decode("ascii"),
            unquote(path) if "%" in path else path,
            url.query or b"",
            self._headers,
            None if self._is_too_long else bytes(self._content),
        )
        is_http_1_0 = parser.get_http_version() == "1.0"
        keeps_alive = not is_http_1_0 and parser.should_keep_alive() and not parser.should_upgrade()
        self._waiting.append(_Pending(request, keeps_alive=keeps_alive, is_http_1_0=is_http_1_0))
        if self._answering is None:
            self._begin_answers()
        elif len(self._waiting) >= _MOST_WAITING:
            self._transport.pause_reading()

    # Replies

    def _begin_answers(self) -> None:
        self._answering = self._loop.create_task(self._answer_all())
        self._server.tasks.add(self._answering)

    async def _answer_all(self) -> None:
        """Answer what waits; then close the connection, if the server stops."""
        task = self._answering
        try:
            while self._waiting:
                await self._answer(self._waiting.popleft())
                self._transport.resume_reading()
            if self._server.is_stopping:
                self._transport.close()
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except Exception:
            _log.exception("a reply could not be sent")
            self._transport.abort()
        finally:
            self._answering = None
            self.idle_since_s = self._loop.time()
            self._server.tasks.discard(cast("asyncio.Task[None]", task))
            self._server.ended()

    async def _answer(self, pending: _Pending) -> None:
        try:
            response = await self._server.respond(pending.request)
        except Exception:
            _log.exception("%s %s failed", pending.request.method, pending.request.path)
            pending.keeps_alive, response = False, _BROKEN
        if isinstance(response, NoReply):
            self._transport.abort()
            return
        keeps_alive = pending.keeps_alive and not self._server.is_stopping
        if isinstance(response, StreamingResponse) and pending.request.method != "HEAD":
            await self._stream(response, pending)
            keeps_alive = keeps_alive and not pending.is_http_1_0
        elif not self._transport.is_closing():
            self._write(response, pending.request.method, keeps_alive=keeps_alive)
            if self._drained:
                await self._drained.wait()
        if not keeps_alive:
            self._waiting.clear()
            self._transport.close()

    def _write(self, response: Response, method: str | None, *, keeps_alive: bool) -> None:
        head = _head(response, self._server.date(), () if keeps_alive else (("connection", "close"),))
        self._transport.write(head if method == "HEAD" else head + response.body)

    async def _stream(self, response: StreamingResponse, pending: _Pending) -> None:
        """Send each piece as it comes, in chunks.

        To a client of HTTP 1.0: as they are, until the connection is closed.
        """
        self._is_streaming = True
        is_chunked = not pending.is_http_1_0
        self._transport.write(
            _head(response, self._server.date(), (("transfer-encoding", "chunked"),) if is_chunked else ())
        )
        try:
            async for chunk in response.chunks:
                piece = chunk.encode()
                if self._transport.is_closing():
                    return
                self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
                if self._drained:
                    await self._drained.wait()
            self._transport.write(b"0\r\n\r\n" if is_chunked else b"")
        finally:
            self._is_streaming = False
            await cast("Any", response.chunks).aclose()

    # The server's calls

    def close_if_idle(self) -> None:
        """Close the connection, unless a request is under way: then after its reply."""
        if self._answering is None:
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()


def _head(response: Response, date: str, more: tuple[tuple[str, str], ...]) -> bytes:
    status = _STATUS_LINES.get(response.status_code) or f"HTTP/1.1 {response.status_code} \r\n"
    lines = [f"{name}: {value}\r\n" for name, value in (*response.header_items(), *more)]
    return f"{status}date: {date}\r\n{''.join(lines)}\r\n".encode("latin-1")
