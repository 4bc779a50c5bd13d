"""The errors of the engine: what its API answers, and why it does not start.

Imports nothing heavy. Texts and statuses of ApiFault are those of Fly's API (docs/explanation/engine-fidelity.md).
"""

import errno
import json
from pathlib import Path
from typing import Any, Final

ANOTHER_HOME: Final = "set RECONCILER_HOME to another directory"
FREE_SPACE: Final = f"free some space on that disk, or {ANOTHER_HOME}"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ApiFault(Exception):
    """An error reply: HTTP `status`, `text`, and the `word` of newer replies."""

    def __init__(self, status: int, text: str, word: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.word = word

    def body(self) -> dict[str, Any]:
        """Return the body of the reply."""
        return {"error": self.text} | ({"status": self.word} if self.word else {})


def bad_request(text: str) -> ApiFault:
    """Return a 400 with this text."""
    return ApiFault(400, f"invalid_argument: {text}")


def not_found(what: str) -> ApiFault:
    """Return a 404 for this kind of thing."""
    return ApiFault(404, f"{what} not found")


def name_taken(machine_id: str, name: str) -> ApiFault:
    """Return the 409 of a create whose name is taken."""
    text = f'already_exists: unique machine name violation, machine ID {machine_id} already exists with name "{name}"'
    return ApiFault(409, text)


def lease_held(machine_id: str, owner: str, expires_at: str) -> ApiFault:
    """Return the 409 of a call that someone else's lease refuses."""
    return ApiFault(409, f"aborted: machine ID {machine_id} lease currently held by {owner}, expires at {expires_at}")


class EngineStartError(Exception):
    """The engine does not start.

    The message says why, `remedy` what to do next, where that is known.
    """

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy

    def to_text(self) -> str:
        """Return the error as one line of JSON, for the process that starts the engine."""
        return json.dumps({"message": str(self), "remedy": self.remedy})


def parse_start_error(text: str) -> EngineStartError | None:
    """Return the error that `to_text` wrote; None for any other text."""
    try:
        written = json.loads(text)
        return EngineStartError(str(written["message"]), remedy=written["remedy"])
    except (ValueError, KeyError, TypeError):
        return None


def cannot_use(place: Path, error: OSError) -> EngineStartError:
    """Return the error of an engine home, or of a file in it, that cannot be used."""
    at = error.filename if isinstance(error.filename, str) else place
    remedy = FREE_SPACE if error.errno in _NO_ROOM else make_writable(place)
    return EngineStartError(f"cannot use {at}: {error.strerror or error}", remedy=remedy)


def make_writable(place: Path) -> str:
    """Return what to do about a directory that cannot be written."""
    return f"make {place} a directory that you can write to, or {ANOTHER_HOME}"
