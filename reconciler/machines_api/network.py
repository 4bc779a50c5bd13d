"""Open the connections of httpcore by asyncio itself.

httpcore's own are built on anyio, which takes longer to import and at each read and write. They serve event loops that
are not asyncio's own, such as uvloop's: that one cannot try the next address of a host while it waits for the first.
"""

import asyncio
import select
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import httpcore

if TYPE_CHECKING:
    from ssl import SSLContext

_NEXT_ADDRESS_AFTER_S: Final = 0.25  # RFC 8305, "Connection Attempt Delay"
_HELD: Final = 256 * 1024  # bytes that were received and not read, above which no more are received


class AsyncioBackend(httpcore.AsyncNetworkBackend):
    """Opens connections of the running event loop."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of the host that answers.

        Raises httpcore.ConnectError, and httpcore.ConnectTimeout after `timeout` seconds.
        """
        loop = asyncio.get_running_loop()
        if not isinstance(loop, asyncio.BaseEventLoop):
            return await httpcore.AnyIOBackend().connect_tcp(host, port, timeout, local_address, socket_options)
        local = (local_address, 0) if local_address else None
        with _told_as(httpcore.ConnectTimeout):
            async with asyncio.timeout(timeout):
                try:
                    _, connection = await loop.create_connection(
                        _Connection, host, port, local_addr=local, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_S
                    )
                except socket.gaierror as error:
                    raise httpcore.ConnectError(str(error)) from error
                except OSError as error:
                    raise httpcore.ConnectError("All connection attempts failed") from error
        for option in socket_options or ():
            connection.transport.get_extra_info("socket").setsockopt(*option)
        return _Stream(connection)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, connection: "_Connection") -> None:
        self._connection = connection
        self._is_closed = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        connection = self._connection
        if not connection.has_something:
            with _told_as(httpcore.ReadTimeout):
                async with asyncio.timeout(timeout):
                    await connection.reader.wait()
        if connection.received:
            return connection.take(max_bytes)
        if connection.failure or self._is_closed:
            raise httpcore.ReadError from connection.failure
        return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        connection = self._connection
        if connection.failure or connection.transport.is_closing():
            raise httpcore.WriteError from connection.failure
        connection.transport.write(buffer)
        if connection.is_full:
            with _told_as(httpcore.WriteTimeout):
                async with asyncio.timeout(timeout):
                    await connection.writer.wait()
            if connection.failure:
                raise httpcore.WriteError from connection.failure

    async def aclose(self) -> None:
        self._is_closed = True
        self._connection.transport.abort()
        await asyncio.sleep(0)  # so that the socket is closed

    async def start_tls(
        self, ssl_context: "SSLContext", server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        connection = self._connection
        try:
            with _told_as(httpcore.ConnectTimeout):
                async with asyncio.timeout(timeout):
                    await connection.start_tls(ssl_context, server_hostname)
        except OSError as error:
            connection.transport.abort()
            raise httpcore.ConnectError(str(error)) from error
        except BaseException:
            connection.transport.abort()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        transport = self._connection.transport
        match info:
            case "is_readable":
                return self._connection.has_something or _is_readable(transport.get_extra_info("socket"))
            case "client_addr":
                return transport.get_extra_info("sockname")
            case "server_addr":
                return transport.get_extra_info("peername")
            case _:
                return transport.get_extra_info(info)


class _Waiter:
    """Lets one task wait until it is woken."""

    def __init__(self) -> None:
        self._woken: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        self._woken = asyncio.get_running_loop().create_future()
        try:
            await self._woken
        finally:
            self._woken = None

    def wake(self) -> None:
        if self._woken and not self._woken.done():
            self._woken.set_result(None)


class _Connection(asyncio.Protocol):
    """What the event loop received of a connection, and whether it can send."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.received: deque[bytes] = deque()
        self.failure: Exception | None = None
        self.is_full = False  # too much waits to be sent
        self._is_over = False
        self._is_tls = False
        self._held = 0
        self._is_held_up = False
        self.reader = _Waiter()  # for something to read
        self.writer = _Waiter()  # for room

    @property
    def has_something(self) -> bool:
        """Whether a read need not wait: for bytes, or to say that there will be none."""
        return bool(self.received) or self._is_over

    async def start_tls(self, context: "SSLContext", server_hostname: str | None) -> None:
        loop = asyncio.get_running_loop()
        upgraded = await loop.start_tls(self.transport, self, context, server_hostname=server_hostname)
        if upgraded is None:
            raise ConnectionResetError
        self._is_tls = True
        self.transport = upgraded

    def take(self, max_bytes: int) -> bytes:
        """Return what was received first, and receive more if little is left."""
        taken = self.received.popleft()
        if len(taken) > max_bytes:
            self.received.appendleft(taken[max_bytes:])
            taken = taken[:max_bytes]
        self._held -= len(taken)
        if self._is_held_up and self._held < _HELD and not self.transport.is_closing():
            self._is_held_up = False
            self.transport.resume_reading()
        return taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received.append(data)
        self._held += len(data)
        if self._held >= _HELD and not self._is_held_up:
            self._is_held_up = True
            self.transport.pause_reading()
        self.reader.wake()

    def eof_received(self) -> bool:
        self._is_over = True
        self.reader.wake()
        return not self._is_tls  # we may still send; TLS has no half of a connection

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self.failure = exc
        self.is_full = False
        self.reader.wake()
        self.writer.wake()

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self.writer.wake()


@contextmanager
def _told_as(kind: type[Exception]) -> Iterator[None]:
    """Raise what is told of a timeout as one of this kind."""
    try:
        yield
    except TimeoutError as error:
        raise kind from error


def _is_readable(connection: socket.socket | None) -> bool:
    """Return whether a read would not wait: there are bytes, or it was closed."""
    number = connection.fileno() if connection else -1
    if number < 0:
        return True
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
