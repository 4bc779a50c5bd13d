"""An event loop in a thread of its own, for code with threads."""

import asyncio
import os
import threading
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Closable(Protocol):
    """What lives on a loop, and is closed there."""

    async def aclose(self) -> None:
        """Close its connections."""


C = TypeVar("C", bound=Closable)


class LoopThread(Generic[C]):
    """An event loop in a daemon thread, and `content`, which lives on it.

    It ends with the process that made it.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self.pid: int = os.getpid()
        self.content: C = make()
        self.is_closed: bool = False
        self._beginning = threading.Lock()  # nothing begins once it is closed
        self._under_way: dict[Future[Any], asyncio.Task[Any]] = {}  # used on the loop only
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T], *, run_id: str | None = None) -> T:
        """Return what the coroutine returns, or raise what it raises.

        `run_id` is the run that it is about. An interrupt of the caller cancels the coroutine and waits for its
        clean-up; a second interrupt ends that wait too. Raises RuntimeError in another process, on the loop's own
        thread, and if the loop is closed before the end.
        """
        ended: Future[T] = Future()
        try:
            self._begin(work, ended, run_id)
            return ended.result()
        except CancelledError:
            if self.is_closed:
                raise RuntimeError(_words_of_closed("closed while this call was under way", run_id)) from None
            raise
        except BaseException:
            if not ended.done():  # it is the caller who was interrupted
                self._loop.call_soon_threadsafe(self._cancel, ended)
                with suppress(CancelledError):
                    ended.exception()
            raise

    def close(self) -> None:
        """End what is under way, close the content, and end the thread."""
        self.require_other_thread()
        with self._beginning:
            self.is_closed = True
        ended: Future[None] = Future()
        self._loop.call_soon_threadsafe(self._start, self._end(), ended)
        ended.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def require_other_thread(self) -> None:
        """Raise RuntimeError on the loop's own thread: a call would wait for itself."""
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "called from a callback (emit, on_end), which this would wait for; call it from another thread"
            )

    def _run(self) -> None:
        """Run the loop until it is stopped.

        If a callback raises to end the program, the call raises the same in the caller's thread.
        """
        while True:
            try:
                return self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                continue  # it stopped the loop, and is what the call ends with too

    def _begin(self, work: Coroutine[Any, Any, T], ended: "Future[T]", run_id: str | None) -> None:
        """Begin the coroutine on the loop.

        If that is not possible, close it, so that Python does not warn of it later.
        """
        try:
            if self.pid != os.getpid():
                raise RuntimeError("this run was begun in another process; get it by its id: find(run.id)")
            self.require_other_thread()
            with self._beginning:
                if self.is_closed:
                    raise RuntimeError(_words_of_closed("closed already", run_id))
                self._loop.call_soon_threadsafe(self._start, work, ended)
        except RuntimeError as error:
            work.close()
            ended.set_exception(error)

    def _start(self, work: Coroutine[Any, Any, T], ended: "Future[T]") -> None:
        task = self._loop.create_task(work)
        self._under_way[ended] = task
        task.add_done_callback(partial(self._deliver, ended))

    def _deliver(self, ended: "Future[T]", task: "asyncio.Task[T]") -> None:
        del self._under_way[ended]
        if task.cancelled():
            ended.cancel()
        elif (error := task.exception()) is not None:
            ended.set_exception(error)
        else:
            ended.set_result(task.result())

    def _cancel(self, ended: "Future[Any]") -> None:
        if task := self._under_way.get(ended):
            _cancel_once(task)
        else:
            ended.cancel()  # the interrupt came before it began; nothing where it has ended

    async def _end(self) -> None:
        """Cancel the calls, then all other tasks on the loop, and close the content.

        In this order: the clean-up of a call may be a task of its own, and may use the content.
        """
        own = asyncio.current_task()
        await _end_all([task for task in self._under_way.values() if task is not own])
        await _end_all([task for task in asyncio.all_tasks() if task is not own])
        await self._loop.shutdown_asyncgens()
        await self.content.aclose()


class LoopThreads(Generic[C]):
    """The loop thread of this process, begun at its first use.

    A forked process begins a new one.
    """

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
        """Close what was begun in this process.

        Raises RuntimeError on the loop's own thread.
        """
        with self._opening:
            current = self._current
            if current is not None and current.pid == os.getpid():
                current.require_other_thread()
            self._current = None
        if current is not None and current.pid == os.getpid():
            current.close()


async def _end_all(tasks: Collection["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        _cancel_once(task)
    if tasks:
        await asyncio.wait(tasks)


def _cancel_once(task: "asyncio.Task[Any]") -> None:
    """Cancel the task, unless it was cancelled before: that would end its clean-up."""
    if not task.cancelling():
        task.cancel()


def _words_of_closed(what: str, run_id: str | None) -> str:
    return what if run_id is None else f"{what}; run {run_id} is not ended by that: get it again with find({run_id!r})"
