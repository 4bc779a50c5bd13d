"""One session for all calls of one object.

It is opened at the first call, on the event loop of that call, and closed with the object.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from reconciler.operations.session import Session


class OwnLoop:
    """The event loop that an object's connections and waits belong to.

    None of them works on another loop.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def require(self) -> None:
        """Keep the running loop if there is none yet. Raises RuntimeError on another one."""
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        if self._loop is not running:
            where = "an event loop that has ended" if self._loop.is_closed() else "another event loop"
            raise RuntimeError(f"this is in use on {where}: make one for each loop, or close it there first")

    def leave(self) -> bool:
        """Forget the loop, and return whether it was closed before.

        Raises as `require` does.
        """
        has_ended = self._loop is not None and self._loop.is_closed()
        if not has_ended:
            self.require()
        self._loop = None
        return has_ended


class Opening(AbstractAsyncContextManager[Session]):
    """Enter a session, and close it.

    This is no generator: a loop that ends closes all its generators at once, in any order.
    """

    def __init__(self, enter: Callable[[AsyncExitStack], Awaitable[Session]]) -> None:
        self._enter = enter
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Session:
        return await self._enter(self._closing)

    async def __aexit__(self, *_error: object) -> None:
        await self._closing.aclose()


class OwnSession:
    """A session that is opened at the first call.

    After a close it may be opened again, also on another loop.
    """

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Session]]) -> None:
        self._make = make
        self._loop = OwnLoop()
        self._forget()

    def _forget(self) -> None:
        self._session: Session | None = None
        self._opening = asyncio.Lock()
        self._closing = AsyncExitStack()

    async def open(self) -> Session:
        """Return the session, the same at each call.

        Raises what opening raises, and RuntimeError on another loop.
        """
        self._loop.require()
        async with self._opening:
            if self._session is None:
                self._session = await self._closing.enter_async_context(self._make())
            return self._session

    async def close(self) -> None:
        """Close what was opened.

        Raises RuntimeError on another loop, unless the first one was closed.
        """
        has_ended = self._loop.leave()
        closing = self._closing
        self._forget()
        if not has_ended:
            await closing.aclose()
