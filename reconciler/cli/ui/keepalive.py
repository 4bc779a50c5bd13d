"""Print a line now and then: a pipeline takes a silent job for a hanging one."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TypeVar

from reconciler.cli.ui import console
from reconciler.cli.ui.progress import spelled

if TYPE_CHECKING:
    import asyncio

    from reconciler.clock import Clock

_SILENCE_S = 30.0

T = TypeVar("T")


class Heartbeat:
    """While open, says after each `silence_s` without news how long it has taken.

    News is what passes through the functions that `heard` returns. Only in a pipeline: on a terminal there is a bar,
    and in other pipes silence is wanted. `what` names the whole, used as long as there was no news.
    """

    def __init__(
        self, what: Callable[[], str] | None = None, *, clock: "Clock | None" = None, silence_s: float = _SILENCE_S
    ) -> None:
        from reconciler.clock import SystemClock

        self._what = what
        self._clock = clock or SystemClock()
        self._silence_s = silence_s
        self._news = 0
        self._last = "nothing yet"
        self._beating: asyncio.Task[None] | None = None

    def heard(self, tell: Callable[[T], None]) -> Callable[[T], None]:
        """Return the same function, whose calls count as news."""

        def told(news: T) -> None:
            self._news += 1
            if isinstance(news, str):
                self._last = news
            tell(news)

        return told

    async def __aenter__(self) -> Self:
        if is_pipeline():
            import asyncio

            self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._beating:
            import asyncio

            self._beating.cancel()
            with suppress(asyncio.CancelledError):
                await self._beating

    async def _beat(self) -> None:
        began = self._clock.monotonic()
        while True:
            news = self._news
            await self._clock.sleep(self._silence_s)
            if self._news == news:
                what = self._what() if self._what else f"the last news: {self._last}"
                console.say(f"still waiting after {spelled(self._clock.monotonic() - began)}; {what}")


def is_pipeline() -> bool:
    """Return whether a pipeline runs us and reads what we print."""
    return bool(os.environ.get("CI")) and not console.is_terminal(sys.stderr)
