"""Call what a program gave us to call: its own mistake must change nothing of the work."""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("reconciler")


def harmless(what: str, callback: Callable[[T], None] | None, spoken: Callable[[T], T]) -> Callable[[T], None]:
    """Return the callback `what`, which gets each value in words for a program; nothing is called where it is None.

    An Exception that it raises is logged, and nobody else hears of it. What ends the program, such as SystemExit, ends
    the call too.
    """

    def call(value: T) -> None:
        if callback is None:
            return
        try:
            callback(spoken(value))
        except Exception:
            _LOGGER.exception("%s raised an error, which changes nothing of the work", what)

    return call
