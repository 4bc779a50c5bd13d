"""An event loop in a thread of its own, for code with threads."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Closable(Protocol):
    """What lives on a loop, and is closed there."""

    async def aclose(self) -> None:
        """Close its connections."""


C = TypeVar("C", bound=Closable)


class LoopThread(Generic[C]):
    """An event loop in a daemon thread, and `content`, which lives on it. It ends with the process that made it."""

    def __init__(self, make: Callable[[], C]) -> None:
        self.pid: int = os.getpid()
        self.content: C = make()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="reconciler", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns, or raise what it raises; an interrupt of the caller cancels it."""
        if self.pid != os.getpid():
            work.close()
            raise RuntimeError("this run was begun in another process; get it by its id: find(run.id)")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Close the content, and end the thread."""
        self.call(self.content.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class LoopThreads(Generic[C]):
    """The loop thread of this process: begun on first use, and anew in each process that was forked."""

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._current: LoopThread[C] | None = None
        self._opening = threading.Lock()

    def here(self) -> LoopThread[C]:
        """Return the loop thread of this process."""
        with self._opening:
            if self._current is None or self._current.pid != os.getpid():
                self._current = LoopThread(self._make)
            return self._current

    def close(self) -> None:
        """Close what was begun in this process."""
        with self._opening:
            current, self._current = self._current, None
        if current is not None and current.pid == os.getpid():
            current.close()
