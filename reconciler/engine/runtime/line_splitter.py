"""Output cut into the lines of a log."""

from collections.abc import Callable
from typing import Final

_LONGEST: Final = 65536


class LineSplitter:
    """Takes output as it comes and gives each line: an overlong one in pieces, the last one without its newline too."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def add(self, content: bytes) -> None:
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace").rstrip("\r"))
        while len(self._rest) > _LONGEST:
            self._take(self._rest[:_LONGEST].decode("utf-8", "replace"))
            self._rest = self._rest[_LONGEST:]

    def close(self) -> None:
        """Gives what has come of a last line."""
        if self._rest:
            self._take(self._rest.decode("utf-8", "replace"))
            self._rest = b""
