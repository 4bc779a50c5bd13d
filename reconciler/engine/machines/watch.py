"""Waiting for a machine's record to change, without asking again and again."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from reconciler.clock import Clock

T = TypeVar("T")
ANY: Final = ""
"""In a machine's place: whichever changes."""


class Watchers:
    """Tells those who wait for a machine of each change to it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self.is_closing = False

    def notify(self, machine_id: str) -> None:
        """The machine has changed."""
        for change in self._waiters.pop(machine_id, set()) | self._waiters.pop(ANY, set()):
            if not change.done():
                change.set_result(None)

    def close(self) -> None:
        """Ends all waits."""
        self.is_closing = True
        for machine_id in list(self._waiters):
            self.notify(machine_id)

    async def until(self, machine_id: str, reached: Callable[[], T | None], timeout_s: float) -> T | None:
        """What `reached` gives once it gives something, asked at each change; None after the time, and at the close."""
        timer = asyncio.ensure_future(self._clock.sleep(timeout_s))
        try:
            while True:
                if found := reached():
                    return found
                if timer.done() or self.is_closing:
                    return None
                change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.setdefault(machine_id, set()).add(change)
                await asyncio.wait({change, timer}, return_when=asyncio.FIRST_COMPLETED)
                self._waiters.get(machine_id, set()).discard(change)
        finally:
            timer.cancel()
            with suppress(asyncio.CancelledError):
                await timer
