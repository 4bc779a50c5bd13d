"""Write and parse the description of a lease, which names its holder."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from reconciler.model.machine import ShownLease

_SHOWN: Final = 120
_DESCRIPTION: Final = r"reconciler (\w+) ([0-9A-Z]{26}) (.*)"
_LONGEST = 200
_PROCESS: Final = r"(.+@.+?) pid (\d+)(?: in (\S+))?"


class Holder(Struct, frozen=True, kw_only=True):
    """A process of this tool that holds a lease.

    `who` is user and host, or a pipeline's run. `pid` is None if the description has none. `space` is where the pid is
    valid: one boot of a host, and one PID namespace. Earlier versions did not write it.
    """

    verb: str
    attempt: str
    who: str
    pid: int | None = None
    space: str | None = None


def describe(verb: str, attempt: str, who: str) -> str:
    """Return the description of a lease."""
    return f"reconciler {verb} {attempt} {who}"[:_LONGEST]


def parse_holder(description: str) -> Holder | None:
    """Parse the holder from a description; None if this tool did not write it."""
    found = re.fullmatch(_DESCRIPTION, description[:_LONGEST])
    if found is None:
        return None
    process = re.fullmatch(_PROCESS, found[3])
    if process is None:
        return Holder(verb=found[1], attempt=found[2], who=found[3])
    return Holder(verb=found[1], attempt=found[2], who=process[1], pid=int(process[2]), space=process[3])


def words_of(description: str) -> str:
    """Return whose lease it is: our verb and who called it, or another tool's text."""
    from reconciler.machines_api.errors import shorten

    holder = parse_holder(description)
    if holder is None:
        return shorten(description, _SHOWN)
    return shorten(f"`reconciler {holder.verb}` of {holder.who}", _SHOWN)


def lock_words(lease: ShownLease, *, now: datetime | None) -> str:
    """Return who has the lease that a list shows, and until when.

    The words follow "is".
    """
    whose = words_of(lease.description) or words_of(lease.owner)
    return f"locked by {whose} until {until_words(lease.expires_at, now=now)}"


def until_words(at: datetime, *, now: datetime | None) -> str:
    """Return a time in UTC: `12:00:30 UTC`, with its date if it is not that of `now`."""
    is_today = now is not None and at.astimezone(UTC).date() == now.astimezone(UTC).date()
    return f"{at.astimezone(UTC):{'' if is_today else '%Y-%m-%d '}%H:%M:%S} UTC"


def is_provably_dead(holder: Holder | None, *, who: str, space: str | None, is_alive: Callable[[int], bool]) -> bool:
    """Return whether the holder was a process on this host that no longer exists.

    A pid is valid only within one boot and one PID namespace. If the holder's or our own is not known, or they differ,
    nothing is proved. A pid that is in use again counts as alive.
    """
    if holder is None or holder.pid is None or holder.who != who:
        return False
    return holder.space is not None and holder.space == space and not is_alive(holder.pid)
