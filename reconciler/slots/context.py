"""What every operation on machines needs: client, clock, name for leases, ULIDs.

Each create, lease and run gets a new ULID. They sort by time.
"""

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, field

from reconciler.clock import Clock
from reconciler.errors import ReconcilerError, unexpected_words
from reconciler.machines_api.client import MachinesClient

if TYPE_CHECKING:
    from reconciler.model.apply_event import ApplyEvent, ApplyEventType
    from reconciler.model.change import Change
    from reconciler.model.local_engine import LocalEngine
    from reconciler.model.plan import AppCreation
    from reconciler.model.report import AppEntry, Entry

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_LENGTH = 10
Emit: TypeAlias = Callable[[str], None]
"""Takes one line of progress, in words, safe to print."""


def new_ulid(now: datetime, *, after: str = "") -> str:
    """Return 26 characters: 48 bits of milliseconds and 80 random bits, in base 32.

    It sorts behind the ULID `after`, even if that one was made by a clock that is ahead of ours.
    """
    number = max(int(now.timestamp() * 1000), _milliseconds_of(after) + 1) << 80 | int.from_bytes(os.urandom(10))
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))


def _milliseconds_of(ulid: str) -> int:
    """Return the time in a ULID; less than 1 if it is none."""
    found = 0
    for character in ulid[:_TIME_LENGTH]:
        found = found << 5 | _ALPHABET.find(character)  # -1 makes all of it negative
    return found


def emit_nothing(_line: str) -> None:
    """Ignore the progress."""


def hear_nothing(_event: "ApplyEvent") -> None:
    """Ignore the event."""


def debug_nothing(_error: Exception) -> None:
    """Ignore the unexpected error."""


class PushedImages:
    """The images that are in their registry, as it has said.

    The platform may not know those yet that were just pushed.
    """

    def __init__(self) -> None:
        self._digests: set[str] = set()
        self._told: set[str] = set()

    def add(self, digests: Iterable[str]) -> None:
        """Note images by their digests."""
        self._digests.update(digests)

    def holds(self, image: str | None) -> bool:
        """Return whether the reference names one of them by its digest."""
        return image is not None and image.partition("@")[2] in self._digests

    def is_news(self, image: str) -> bool:
        """Return True once for each image."""
        is_told = image in self._told
        self._told.add(image)
        return not is_told


class Context(Struct, frozen=True, kw_only=True):
    """One process that acts on machines.

    `who` names it in its leases (`user@host`, or a pipeline's run). `local` is set if the target is the local engine.
    `debug` takes each unexpected error that did not end the process, to show its traceback. `on_event` takes what
    happens in an apply.
    """

    client: MachinesClient
    clock: Clock
    who: str
    emit: Emit = emit_nothing
    local: "LocalEngine | None" = None
    debug: Callable[[Exception], None] = debug_nothing
    pushed: PushedImages = field(default_factory=PushedImages)
    on_event: "Callable[[ApplyEvent], None]" = hear_nothing

    def tell(self, type: "ApplyEventType", about: "Change | Entry | AppCreation | AppEntry") -> None:
        """Tell what has happened in an apply."""
        from reconciler.model.apply_event import ApplyEvent  # only an apply has events, and they bring its report

        self.on_event(ApplyEvent(type=type, time=self.clock.now(), about=about))

    def explain(self, error: Exception) -> str:
        """Return what went wrong, in words; pass an unexpected error to `debug` too."""
        if isinstance(error, ReconcilerError):
            return error.message
        self.debug(error)
        return unexpected_words(error) + ("" if self.debug is debug_nothing else " (--debug shows where)")
