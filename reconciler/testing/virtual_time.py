"""Virtual time: an event loop that jumps to its next timer instead of sleeping.

It works where nothing waits for the outside world: no sockets, threads or child processes, as with an engine in process
and scripted commands.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

T = TypeVar("T")
_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_AT_ONE_MOMENT: Final = 200_000  # turns of the loop; the busiest moment of our tests takes some thousands


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> Any:
        self._turns += 1
        if self._turns > _AT_ONE_MOMENT:
            raise RuntimeError("livelock: something goes on and on, and no time passes")
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("deadlock: nothing is scheduled, and nothing can happen any more")
        if self.now_s + timeout > self.now_s:
            self._turns = 0
        self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time: sleeps, timeouts and timers take no real time.

    Where nothing is scheduled and nothing can happen any more, it raises RuntimeError instead of waiting for ever.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the seconds of virtual time since the loop was made."""
        return self._jumping.now_s

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]
        """Call the function now, in this thread: time would jump past another one."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


class VirtualClock:
    """The clock of a virtual loop, by default of the running one.

    It starts with 2026.
    """

    def __init__(self, loop: VirtualLoop | None = None) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """Return the date and time, aware, in UTC."""
        return _BEGIN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Return the seconds since the loop was made."""
        return (self._loop or asyncio.get_running_loop()).time()

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        await asyncio.sleep(max(0.0, seconds))


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine on a virtual loop of its own, and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
