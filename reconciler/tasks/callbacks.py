"""Call the functions that a program gave us; an error of theirs changes nothing."""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("reconciler")


def harmless(what: str, callback: Callable[[T], None] | None, spoken: Callable[[T], T]) -> Callable[[T], None]:
    """Return a function that calls `callback` and logs each Exception that it raises.

    The callback gets each value in the library's words. If it is None, nothing is called. What ends the program, such
    as SystemExit, ends the call too.
    """

    def call(value: T) -> None:
        if callback is None:
            return
        try:
            callback(spoken(value))
        except Exception:
            _LOGGER.exception("%s raised an error, which changes nothing of the work", what)

    return call
