"""Whether a service's machine stays up, as its events tell it: exits that nobody asked for, and restarts. Pure.

Events are newest first. An update of a running machine brings an exit of the run before it, listed newer than the
update and not as one that was asked for: only what is newer than the new version's own start is of the new version.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.model.machine import Event, Exit

_CHANGES: Final = frozenset({"launch", "update", "revert"})  # of the machine's version


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """The first exit of a run that nobody asked for, and how often the platform has started it again since."""

    ended: Exit
    restarts: int


def newest_run(events: Sequence[Event]) -> tuple[Event, ...]:
    """Return the events of the newest version's run: from its own start on, newest first; () before it started."""
    changed = next((index for index, event in enumerate(events) if event.type in _CHANGES), len(events))
    starts = [index for index in range(changed) if events[index].type == "start"]
    return tuple(events[: starts[-1] + 1]) if starts else ()


def crash_in(run: Sequence[Event]) -> Crash | None:
    """Return the first crash among the events of a run; None where it goes on, or was stopped on purpose."""
    for index in reversed(range(len(run))):
        ended = run[index].exit
        if ended is not None and not ended.requested_stop:
            return Crash(ended=ended, restarts=sum(event.type == "start" for event in run[:index]))
    return None


def restarts_in(events: Sequence[Event]) -> int:
    """Return how often the platform has started the machine again after a crash, since its last start or change."""
    run = newest_run(events)
    asked = next((index for index, event in enumerate(run) if event.exit and event.exit.requested_stop), len(run))
    return sum(event.exit is not None and event.exit.restarting for event in run[:asked])
