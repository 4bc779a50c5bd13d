"""Show a view of the target again and again, until Ctrl-C.

While the target does not answer, the last view stays, and a line below it says so.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.cli.ui.screen import Screen
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.clock import Clock

View = Callable[[datetime], Sequence[str]]
"""Returns the lines of one observation, as they read at a time."""


class Watch:
    """Reads a view every `interval_s`, and draws it."""

    def __init__(self, screen: Screen, clock: "Clock", *, interval_s: float, say: Callable[[str], None]) -> None:
        self._screen = screen
        self._clock = clock
        self._interval_s = interval_s
        self._say = say
        self._view: View | None = None
        self._note = ""

    async def run(self, read: Callable[[], Awaitable[View]]) -> None:
        """Go on until cancelled. Raises what the first read raises."""
        failing_since: datetime | None = None
        while True:
            try:
                self._view = await read()
                failing_since, self._note = None, ""
            except ReconcilerError as error:
                if self._view is None:
                    raise
                failing_since = failing_since or self._clock.now()
                self._note = f"not read since {failing_since:%H:%M:%S} UTC: {error.message}; trying again"
            self._draw()
            await self._clock.sleep(self._interval_s)

    def hear(self, line: str) -> None:
        """Show what is said during a read below the last view."""
        if self._view is None:
            self._say(line)
            return
        self._note = line
        self._draw()

    def _draw(self) -> None:
        if self._view is None:
            return
        from reconciler.render.redact import clean
        from reconciler.render.style import wrapped

        now = self._clock.now()
        foot = f"{now:%H:%M:%S} UTC, every {self._interval_s:g}s; Ctrl-C ends it"
        note = wrapped(clean(self._note), self._screen.width, hanging=2) if self._note else []
        self._screen.draw([*self._view(now), "", *note, foot])
