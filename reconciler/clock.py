"""The clock, which is passed in wherever the time matters, so that tests set it."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time. The monotonic clock may stop in a sleeping laptop."""

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC, with its time zone."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary point, never decreasing."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of this clock's time; not at all if not positive."""
        ...


class SystemClock:
    """The system's clocks and the timers of the running event loop."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def now_ms(clock: Clock) -> int:
    """Return the wall clock's time in milliseconds since 1970."""
    return int(clock.now().timestamp() * 1000)
