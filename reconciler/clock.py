"""The clock protocol: time is handed in wherever a decision or a wait depends on it, so that tests own it."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time. `now` is the wall clock, `monotonic` never goes back but may stop in a sleeping laptop."""

    def now(self) -> datetime:
        """The wall clock's time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary point, never decreasing."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds` of this clock's time; at once where they are not positive."""
        ...


class SystemClock:
    """The machine's own clock and the running event loop's timers."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def now_ms(clock: Clock) -> int:
    """The wall clock's time in milliseconds since 1970."""
    return int(clock.now().timestamp() * 1000)
