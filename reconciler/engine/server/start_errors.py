"""Why an engine does not start, and what to do about it. Imports nothing heavy."""

import errno
import json
from pathlib import Path
from typing import Final

ANOTHER_HOME: Final = "set RECONCILER_HOME to another directory"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FREE_SPACE: Final = f"free some space on that disk, or {ANOTHER_HOME}"


class EngineStartError(Exception):
    """The engine does not start. The message says why, `remedy` what to do next, where that is known."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy

    def to_text(self) -> str:
        """The error as one line of JSON, for the process that started the engine's."""
        return json.dumps({"message": str(self), "remedy": self.remedy})


def parse_start_error(text: str) -> EngineStartError | None:
    """The error of an engine's process; None where it told none."""
    try:
        told = json.loads(text)
        return EngineStartError(str(told["message"]), remedy=told["remedy"])
    except (ValueError, KeyError, TypeError):
        return None


def cannot_use(place: Path, error: OSError) -> EngineStartError:
    """What is said where the engine's home, or a file in it, does not do."""
    at = error.filename if isinstance(error.filename, str) else place
    remedy = FREE_SPACE if error.errno in _NO_ROOM else writable(place)
    return EngineStartError(f"cannot use {at}: {error.strerror or error}", remedy=remedy)


def writable(place: Path) -> str:
    """What to do where nothing can be written."""
    return f"make {place} a directory that you can write to, or {ANOTHER_HOME}"
