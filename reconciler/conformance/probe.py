"""A probe as a value, and how it says what it has seen."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from reconciler.conformance.laboratory import Laboratory

Try: TypeAlias = Callable[["Laboratory"], Awaitable[str]]
"""Makes the calls and returns what was seen where the assumption holds. Raises DiffersError, UntriedError."""


class DiffersError(Exception):
    """The server does not do what we assume; the message is what was seen."""


class UntriedError(Exception):
    """It could not be tried; the message says why."""


class Probe(Struct, frozen=True, kw_only=True):
    """What we assume, and how it is tried.

    `machines` is how many it makes for itself; after `bound_s` it is given up.
    """

    name: str
    group: str
    assumes: str
    calls: str
    attempt: Try
    machines: int = 0
    bound_s: float = 180.0


def answer(name: str, assumes: str, calls: str, attempt: Try, *, machines: int = 0) -> Probe:
    """Return a probe of what a call answers."""
    return Probe(name=name, group="answer", assumes=assumes, calls=calls, attempt=attempt, machines=machines)


def assumption(name: str, assumes: str, calls: str, attempt: Try, *, machines: int = 0) -> Probe:
    """Return a probe of an assumption of docs/explanation/protocols.md."""
    return Probe(name=name, group="assumption", assumes=assumes, calls=calls, attempt=attempt, machines=machines)


def expect(is_so: object, seen: str) -> str:
    """Return what was seen, if it is so. Raises DiffersError."""
    if not is_so:
        raise DiffersError(seen)
    return seen


def needs(is_there: object, why: str) -> None:
    """Raise UntriedError with `why` if something that the probe needs is missing."""
    if not is_there:
        raise UntriedError(why)


def cannot(why: str) -> Try:
    """Return what a probe does that no call can try."""

    async def attempt(_lab: "Laboratory") -> str:
        raise UntriedError(why)

    return attempt
