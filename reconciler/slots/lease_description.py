"""Who holds a lease, as its description says it: written when it is taken, read when one is in the way."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_SHOWN: Final = 120
_DESCRIPTION = re.compile(r"reconciler (\w+) ([0-9A-Z]{26}) (.*)")
_LONGEST = 200
_PROCESS = re.compile(r"(.+@.+?) pid (\d+)(?: in (\S+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process of ours. `who` is user and host, or a pipeline's run; `pid` is None where it does not tell.

    `space` is where the pid counts: a boot of a host, and a PID namespace there. Earlier versions did not tell it.
    """

    verb: str
    attempt: str
    who: str
    pid: int | None = None
    space: str | None = None


def describe(verb: str, attempt: str, who: str) -> str:
    """The description of a lease."""
    return f"reconciler {verb} {attempt} {who}"[:_LONGEST]


def parse_holder(description: str) -> Holder | None:
    """The holder that a description names; None where it is not one of ours."""
    found = _DESCRIPTION.fullmatch(description[:_LONGEST])
    if found is None:
        return None
    process = _PROCESS.fullmatch(found[3])
    if process is None:
        return Holder(verb=found[1], attempt=found[2], who=found[3])
    return Holder(verb=found[1], attempt=found[2], who=process[1], pid=int(process[2]), space=process[3])


def words_of(description: str) -> str:
    """Whose lease it is, in words: the verb and who called it, or what another tool wrote there, on one line."""
    from reconciler.machines_api.errors import shorten

    holder = parse_holder(description)
    if holder is None:
        return shorten(description, _SHOWN)
    return shorten(f"`reconciler {holder.verb}` of {holder.who}", _SHOWN)


def is_provably_dead(holder: Holder | None, *, who: str, space: str | None, is_alive: Callable[[int], bool]) -> bool:
    """Whether the holder was a process of this very user, host, boot and PID namespace that is no more.

    A number means another process elsewhere, so nothing is proved of a holder that does not tell where its pid counts,
    nor by a caller that does not know it of itself. A number in use again is alive.
    """
    if holder is None or holder.pid is None or holder.who != who:
        return False
    return holder.space is not None and holder.space == space and not is_alive(holder.pid)
