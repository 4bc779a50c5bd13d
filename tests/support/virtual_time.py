"""Time that passes only while nothing else can happen: an event loop that jumps to its next timer instead of sleeping.

Works where nothing waits for the outside world, as with the engine in process and scripted runs.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_AT_ONE_MOMENT = 200_000  # turns of the loop; the busiest moment of a test has some thousands


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
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


class VirtualClock:
    """The clock of the running virtual loop."""

    def now(self) -> datetime:
        return _BEGIN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns, on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
