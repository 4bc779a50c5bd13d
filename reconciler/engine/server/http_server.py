"""The engine's HTTP server: listens on a socket until it is stopped."""

import asyncio
import socket
import time
from typing import Final

from reconciler.engine.engine import Engine
from reconciler.engine.http.messages import Respond
from reconciler.engine.server.connection import Connection

BACKLOG: Final = 512
# Longer than clients keep an idle connection (httpx 5 s, Go at most 90 s). If the server closed one just as a call is
# sent on it, the caller could not know whether the call was done.
KEEP_ALIVE_S: Final = 120.0
_GRACE_S: Final = 2.0
_SWEEP_S: Final = 10.0
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class EngineServer:
    """Serve an engine; `respond` answers the requests. `serve` returns after `stop`."""

    def __init__(self, engine: Engine, respond: Respond) -> None:
        self.respond = respond
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.is_stopping: bool = False
        self._engine = engine
        self._stop = asyncio.Event()
        self._change = asyncio.Event()
        self._date = (0, "")

    async def serve(self, listener: socket.socket) -> None:
        """Answer the connections of the listener, which is closed in the end."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self, loop), sock=listener, backlog=BACKLOG)
        sweep = loop.call_later(_SWEEP_S, self._close_idle, loop)
        try:
            await self._stop.wait()
        finally:
            sweep.cancel()
            server.close()
            await self._finish(loop)

    def stop(self) -> None:
        """Stop serving, and end the long polls."""
        self.is_stopping = True
        self._stop.set()
        self._engine.begin_close()

    async def _finish(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the replies that are under way, then cut what is left."""
        self.is_stopping = True
        for connection in tuple(self.connections):
            connection.close_if_idle()
        deadline = loop.time() + _GRACE_S
        while (self.connections or self.tasks) and loop.time() < deadline:
            self._change.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._change.wait()
            except TimeoutError:
                break
        tasks = tuple(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in tuple(self.connections):
            connection.abort()

    def _close_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close the connections on which nothing has come for long; again after a while.

        The rest of a request may never come. A reply under way is waited for.
        """
        if self.is_stopping:
            return
        oldest_s = loop.time() - KEEP_ALIVE_S
        for connection in tuple(self.connections):
            if connection.used_at_s < oldest_s:
                connection.close_if_idle()
        loop.call_later(_SWEEP_S, self._close_idle, loop)

    # What connections call

    def ended(self) -> None:
        """Note that a request or a connection has ended."""
        self._change.set()

    def date(self) -> str:
        """Return the `date` header of this second."""
        now_s = int(time.time())
        if self._date[0] != now_s:
            at = time.gmtime(now_s)
            day = f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year}"
            self._date = (now_s, f"{day} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT")
        return self._date[1]
