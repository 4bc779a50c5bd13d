"""One connection of the engine's HTTP server.

httptools parses its requests, and they are answered in their order. A client may send more requests before it has the
reply (pipelining); those wait. If the client hangs up, a request goes on to its end, but a stream ends. A client that
only closes its own side still gets its replies.
"""

import asyncio
import logging
from collections import deque
from typing import Any, Final, Protocol, cast
from urllib.parse import unquote

import httptools

from reconciler.engine.http.messages import MAX_BODY, NoReply, Request, Respond, Response, StreamingResponse
from reconciler.engine.server.response_head import response_head

_MOST_WAITING: Final = 16  # pipelined requests; then no more is read
_MAX_FIELDS: Final = 512 * 1024  # bytes of a request line and headers, or of trailers: httptools has no limit
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

    `used_at_s` is when something came, or the last reply was sent.
    """

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[_Pending] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._is_streaming = False
        self._drained: asyncio.Event | None = None  # there while the client reads too slowly
        self._field_bytes: int | None = None  # of headers or trailers that came so far; None in a body
        self._owes_continue = False
        self._is_refused = False
        self._is_half_closed = False
        self.used_at_s: float = loop.time()

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

    def eof_received(self) -> bool:
        """Return whether the connection stays open: for replies, but not for a stream."""
        self._is_half_closed = True
        return self._answering is not None and not self._is_streaming

    def pause_writing(self) -> None:
        self._drained = asyncio.Event()

    def resume_writing(self) -> None:
        if self._drained:
            self._drained.set()
            self._drained = None

    def data_received(self, data: bytes) -> None:
        self.used_at_s = self._loop.time()
        rest = b"" if self._is_refused else data
        while rest:
            try:
                self._parser.feed_data(rest)
                rest = b""
            except httptools.HttpParserUpgrade as upgrade:
                rest = self._head_without_upgrade() + rest[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError:
                self._refuse()
                return
        if self._field_bytes is not None:
            self._field_bytes += len(data)
            if self._field_bytes > _MAX_FIELDS:
                self._refuse()

    def _head_without_upgrade(self) -> bytes:
        """Return the head of the request as if it asked for no other protocol.

        The parser takes what comes after it for that protocol; it is the body.
        """
        first = b"%b %b HTTP/%b" % (self._parser.get_method(), self._url, self._parser.get_http_version().encode())
        headers = (b"%b: %b" % one for one in self._headers if one[0] != b"upgrade")
        return b"\r\n".join((first, *headers, b"\r\n"))

    def _refuse(self) -> None:
        """Answer 400 to what is not HTTP, after the replies on their way; then close."""
        self._is_refused, self._field_bytes = True, None
        if self._answering is None:
            self._end_refused()

    def _end_refused(self) -> None:
        if not self._transport.is_closing():
            self._write(_INVALID, None, keeps_alive=False)
        self._transport.close()

    # The parser's calls

    def on_message_begin(self) -> None:
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._content = bytearray()
        self._is_too_long = False
        self._field_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Ask for the body, where the client waits for that.

        Raises ValueError for a head that no server may accept.
        """
        self._headers, self._fields = self._fields, []  # what comes later are trailers: nobody reads them
        names = [name for name, _ in self._headers]
        if names.count(b"host") > 1 or self._parser.get_method() == b"CONNECT":
            raise ValueError
        if b"expect" not in names or self._parser.should_upgrade() or self._parser.get_http_version() == "1.0":
            return
        if dict(self._headers)[b"expect"].lower() == b"100-continue":
            self._owes_continue = True
            if self._answering is None:
                self._send_continue()

    def _send_continue(self) -> None:
        self._owes_continue = False
        self._transport.write(_CONTINUE)

    def on_chunk_header(self) -> None:
        self._field_bytes = 0  # trailers follow the last chunk, which has no body

    def on_body(self, body: bytes) -> None:
        self._field_bytes = None
        if len(self._content) + len(body) > MAX_BODY:
            self._is_too_long = True
            self._content.clear()
        if not self._is_too_long:
            self._content += body

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser.should_upgrade():
            return  # data_received goes on without
        url, self._owes_continue = httptools.parse_url(self._url), False
        path = (url.path or b"/").decode("ascii")
        request = Request(
            parser.get_method().decode("ascii"),
            unquote(path) if "%" in path else path,
            url.query or b"",
            self._headers,
            None if self._is_too_long else bytes(self._content),
        )
        is_http_1_0 = parser.get_http_version() == "1.0"
        keeps_alive = not is_http_1_0 and parser.should_keep_alive()
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
                if len(self._waiting) < _MOST_WAITING:
                    self._transport.resume_reading()
            if self._is_refused:
                self._end_refused()
            elif self._server.is_stopping or self._is_half_closed:
                self._transport.close()
            elif self._owes_continue:
                self._send_continue()
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except Exception:
            _log.exception("a reply could not be sent")
            self._transport.abort()
        finally:
            self._answering = None
            self.used_at_s = self._loop.time()
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
            await self._stream(response, is_chunked=not pending.is_http_1_0, keeps_alive=keeps_alive)
        elif not self._transport.is_closing():
            self._write(response, pending.request.method, keeps_alive=keeps_alive)
            if self._drained:
                await self._drained.wait()
        if not keeps_alive:
            self._waiting.clear()
            self._transport.close()

    def _write(self, response: Response, method: str | None, *, keeps_alive: bool) -> None:
        head = response_head(response, self._server.date(), keeps_alive=keeps_alive)
        self._transport.write(head if method == "HEAD" else head + response.body)

    async def _stream(self, response: StreamingResponse, *, is_chunked: bool, keeps_alive: bool) -> None:
        """Send each piece as it comes, in chunks.

        To a client of HTTP 1.0: as they are, until the connection is closed.
        """
        self._is_streaming = True
        date = self._server.date()
        try:
            if self._transport.is_closing() or self._is_half_closed:
                return
            self._transport.write(response_head(response, date, keeps_alive=keeps_alive, is_chunked=is_chunked))
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
