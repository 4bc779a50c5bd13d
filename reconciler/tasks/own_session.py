"""One session for all calls of one object: opened at the first call, on the event loop of that call, and closed with
the object.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from reconciler.operations.session import Session


class OwnLoop:
    """The event loop that connections and waits live on: nothing of them works on another one."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def require(self) -> None:
        """Stay on the loop that is running, if there was none before. Raises RuntimeError on any other one."""
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        if self._loop is not running:
            where = "an event loop that has ended" if self._loop.is_closed() else "another event loop"
            raise RuntimeError(f"this is in use on {where}: make one for each loop, or close it there first")

    def leave(self) -> bool:
        """Forget the loop. Return whether it has ended with all that lived on it. Raises as `require` does."""
        has_ended = self._loop is not None and self._loop.is_closed()
        if not has_ended:
            self.require()
        self._loop = None
        return has_ended


class OwnSession:
    """A session that is opened at the first call. It may be opened again after a close, also on another loop."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Session]]) -> None:
        self._make = make
        self._loop = OwnLoop()
        self._forget()

    def _forget(self) -> None:
        self._session: Session | None = None
        self._opening = asyncio.Lock()
        self._closing = AsyncExitStack()

    async def open(self) -> Session:
        """Return the session, the same at each call. Raises what opening raises, and RuntimeError on another loop."""
        self._loop.require()
        async with self._opening:
            if self._session is None:
                self._session = await self._closing.enter_async_context(self._make())
            return self._session

    async def close(self) -> None:
        """Close what was opened. Raises RuntimeError on another loop, unless that has ended."""
        has_ended = self._loop.leave()
        closing = self._closing
        self._forget()
        if not has_ended:
            await closing.aclose()
