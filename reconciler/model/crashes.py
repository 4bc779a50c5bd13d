"""Tell from a service's events whether its machine stays up. Pure.

A crash is an exit that nobody asked for. Events are newest first. An update of a running machine brings an exit of the
run before it, listed newer than the update and not as one that was asked for: only what is newer than the new version's
own start is of the new version.
"""

from collections.abc import Sequence
from datetime import datetime
from signal import Signals
from typing import Final

from msgspec import Struct

from reconciler.model.machine import Event, Exit

_CHANGES: Final = frozenset({"launch", "update", "revert"})  # of the machine's version


class Crash(Struct, frozen=True, kw_only=True):
    """The first exit of a run that nobody asked for, and the restarts since."""

    ended: Exit
    restarts: int


def newest_run(events: Sequence[Event]) -> tuple[Event, ...]:
    """Return the events of the newest version's run, newest first.

    They begin with its own start; there are none before it started.
    """
    changed = next((index for index, event in enumerate(events) if event.type in _CHANGES), len(events))
    starts = [index for index in range(changed) if events[index].type == "start"]
    return tuple(events[: starts[-1] + 1]) if starts else ()


def crash_in(run: Sequence[Event]) -> Crash | None:
    """Return the first crash in a run's events; None if it goes on or was stopped."""
    for index in reversed(range(len(run))):
        ended = run[index].exit
        if ended is not None and not ended.requested_stop:
            return Crash(ended=ended, restarts=sum(event.type == "start" for event in run[:index]))
    return None


def is_cut(events: Sequence[Event]) -> bool:
    """Return whether the events may not be all of the newest version's run."""
    return not any(event.type in _CHANGES for event in events)


def hides_its_start(events: Sequence[Event]) -> bool:
    """Return whether the start of the newest run is missing in these events.

    Without its start, the events do not show how the run goes.
    """
    return bool(events) and is_cut(events) and not any(event.type == "start" for event in events)


def recent_crash(events: Sequence[Event], *, at: datetime, min_healthy_s: float) -> Exit | None:
    """Return the last crash, unless the machine has run for `min_healthy_s` since.

    `at` is when it was seen, by our clock; the events' times are the server's. If ours is ahead by more than
    `min_healthy_s` a crash is found only while the machine waits to be started again.
    """
    run = newest_run(events)
    index = next((index for index, event in enumerate(run) if event.exit), None)
    if index is None or _was_asked_for(run, index):
        return None
    start = next((event for event in run[:index] if event.type == "start"), None)
    is_up = start is not None and (at - start.at).total_seconds() >= min_healthy_s
    return None if is_up else run[index].exit


def _was_asked_for(run: Sequence[Event], index: int) -> bool:
    """Return whether the exit was asked for.

    Either it says so, or a stop came between it and the start before it.
    """
    ended = run[index].exit
    older = run[index + 1 :]
    start = next((position for position, event in enumerate(older) if event.type == "start"), len(older))
    return ended is None or ended.requested_stop or any(event.type == "stop" for event in older[:start])


def exit_words(ended: Exit) -> str:
    """Say how a run ended, in a few words."""
    if not ended.is_known:
        return "ended, its exit code is not known"
    if ended.oom_killed:
        return "killed for lack of memory"
    if ended.signal:
        return f"ended by signal {ended.signal}{_signal_name(ended.signal)}"
    return f"exited with code {ended.code}"


def _signal_name(number: int) -> str:
    try:
        return f" ({Signals(number).name})"
    except ValueError:
        return ""


def restarts_in(events: Sequence[Event]) -> int:
    """Count the platform's restarts after a crash, since the last start or change."""
    run = newest_run(events)
    asked = next((index for index, event in enumerate(run) if event.exit and event.exit.requested_stop), len(run))
    return sum(event.exit is not None and event.exit.restarting for event in run[:asked])
