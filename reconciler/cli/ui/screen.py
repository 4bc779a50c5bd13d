"""Redraw a block of lines in place on a terminal."""

from collections.abc import Callable, Sequence
from os import terminal_size
from typing import TextIO

from reconciler.render.style import cut

_UP = "\x1b[{}A\r"
_TO_LINE_END, _TO_SCREEN_END, _WHOLE_SCREEN = "\x1b[K", "\x1b[J", "\x1b[2J\x1b[H"


class Screen:
    """A block of lines that is drawn over its last state.

    It is one write: nothing flickers. What was on the terminal before stays above it, and its last state stays when the
    command ends.
    """

    def __init__(self, stream: TextIO, size: Callable[[], terminal_size]) -> None:
        self._stream = stream
        self._size = size
        self._drawn = 0
        self._seen: terminal_size | None = None

    @property
    def width(self) -> int:
        return self._size().columns

    def draw(self, lines: Sequence[str]) -> None:
        """Show the lines; what is too wide is cut, what is too long is counted."""
        size = self._size()
        room = max(2, size.lines - 1)
        shown = [cut(line, size.columns) for line in lines]
        if len(shown) > room:
            shown = [*shown[: room - 1], cut(f"… and {len(shown) - room + 1} more lines", size.columns)]
        is_resized = self._seen not in {None, size}
        start = _WHOLE_SCREEN if is_resized else _UP.format(self._drawn) if self._drawn else ""
        self._stream.write(start + "".join(f"{line}{_TO_LINE_END}\n" for line in shown) + _TO_SCREEN_END)
        self._stream.flush()
        self._drawn, self._seen = len(shown), size
