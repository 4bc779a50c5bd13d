"""Who holds a lease, as its description says it: written when it is taken, read when one is in the way."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reconciler.machines_api.errors import shorten

_SHOWN: Final = 120
_DESCRIPTION = re.compile(r"reconciler (\w+) ([0-9A-Z]{26}) (.*)")
_LONGEST = 200
_PROCESS = re.compile(r"(.+@.+) pid (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process of ours. `who` is user and host, or a pipeline's run; `pid` is None where it does not tell."""

    verb: str
    attempt: str
    who: str
    pid: int | None = None


def describe(verb: str, attempt: str, who: str) -> str:
    """The description of a lease."""
    return f"reconciler {verb} {attempt} {who}"[:_LONGEST]


def parse_holder(description: str) -> Holder | None:
    """The holder that a description names; None where it is not one of ours."""
    found = _DESCRIPTION.fullmatch(description[:_LONGEST])
    if found is None:
        return None
    process = _PROCESS.fullmatch(found[3])
    who, pid = (process[1], int(process[2])) if process else (found[3], None)
    return Holder(verb=found[1], attempt=found[2], who=who, pid=pid)


def words_of(description: str) -> str:
    """Whose lease it is, in words: the verb and who called it, or what another tool wrote there, on one line."""
    holder = parse_holder(description)
    if holder is None:
        return shorten(description, _SHOWN)
    return shorten(f"`reconciler {holder.verb}` of {holder.who}", _SHOWN)


def is_provably_dead(holder: Holder | None, *, who: str, is_alive: Callable[[int], bool]) -> bool:
    """Whether the holder was a process of this very user and host that is no more. A number in use again is alive."""
    return holder is not None and holder.who == who and holder.pid is not None and not is_alive(holder.pid)
