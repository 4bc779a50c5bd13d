"""Assign the starts of a machine to its run records. Pure.

A start belongs to the record with the newest fence before it. A record owns only the oldest such start: a later start
without a record was not made by the claimer. Events are newest first and come from one server.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.model.machine import Event
from reconciler.slots.run_records import RunRecord


class RunSpan(Struct, frozen=True, kw_only=True):
    """The starts of one run, oldest first: its own, then the platform's restarts.

    `following` is the start of the next run.
    """

    starts: tuple[Event, ...]
    following: Event | None = None

    def extended(self, events: Sequence[Event]) -> "RunSpan":
        """Extend the span by these events, which may not reach back to its start."""
        position = {event.id: index for index, event in enumerate(events)}
        at = min((position[start.id] for start in self.starts if start.id in position), default=len(events))
        starts = list(self.starts)
        for index in reversed(range(at)):
            if events[index].type != "start":
                continue
            # The list begins within the run, and this is its oldest event: what came before is not known.
            is_edge = index + 1 == len(events)
            if not (is_edge or _is_restart(events, index)):
                return RunSpan(starts=tuple(starts), following=events[index])
            starts.append(events[index])
        return RunSpan(starts=tuple(starts), following=self.following)

    def attempt_at(self, timestamp_ms: float) -> int:
        """Return the number of starts until then: 1 is the run's own, 0 is before it."""
        return sum(start.timestamp_ms <= timestamp_ms for start in self.starts)


class OwnedStart(Struct, frozen=True, kw_only=True):
    """A start, its record, and the events until the next run's start, newest first.

    With `is_cut` the run's own start is no longer retained, and `start` is the oldest retained restart.
    """

    start: Event
    newer: tuple[Event, ...]
    record: RunRecord | None
    following: Event | None
    is_cut: bool = False

    @property
    def span(self) -> RunSpan:
        """Return the starts of the run: this one and the restarts after it."""
        restarts = (event for event in reversed(self.newer) if event.type == "start")
        return RunSpan(starts=(self.start, *restarts), following=self.following)


def owned_starts(events: Sequence[Event], records: Sequence[RunRecord]) -> list[OwnedStart]:
    """Return a run for each start among the events, newest first."""
    position = {event.id: index for index, event in enumerate(events)}
    fences = [(position.get(record.fence, len(events)), record) for record in records]
    every = [index for index, event in enumerate(events) if event.type == "start"]
    starts = [index for index in every if index == every[-1] or not _is_restart(events, index)]
    found: list[OwnedStart] = []
    taken: set[str] = set()
    for index in reversed(starts):
        # The newest fence before the start. Of two records with the same fence the later claim voids the earlier one.
        fence = min((at for at, _record in fences if at > index), default=None)
        before = ((at, record) for at, record in fences if at == fence)
        owner = max(before, key=lambda pair: pair[1].ulid, default=None)
        is_told = owner is not None and owner[0] < len(events)
        # The list begins within a run that the platform restarts again and again.
        is_cut = index == every[-1] and not is_told and _is_one_of_several(events, index)
        record = None
        if owner and owner[1].ulid not in taken and (is_told or is_cut or len(records) == 1):
            record = owner[1]  # or, if its fence is no longer retained, the only claim that there ever was
            taken.add(record.ulid)
        later = [other for other in starts if other < index]
        found.append(
            OwnedStart(
                start=events[index],
                newer=tuple(events[(max(later) + 1 if later else 0) : index]),
                record=record,
                following=events[max(later)] if later else None,
                is_cut=is_cut,
            )
        )
    return found[::-1]


def _is_one_of_several(events: Sequence[Event], index: int) -> bool:
    """Return whether the start is a restart, or was followed by a restart."""
    ended = next((event.exit for event in reversed(events[:index]) if event.exit is not None), None)
    return _is_restart(events, index) or (ended is not None and ended.restarting)


def _is_restart(events: Sequence[Event], index: int) -> bool:
    """Return whether the platform made the start, by the restart policy."""
    for event in events[index + 1 :]:
        if event.exit is not None:
            return event.exit.restarting
        if event.type in {"start", "stop"}:
            return False
    return False


def final_exit(events: Sequence[Event]) -> Event | None:
    """Return the exit that ended the run: the oldest one that no restart follows.

    If a stop came between an exit and its restart, the stop ended the run: then return the stop's event, with that exit
    marked as requested.
    """
    for index in reversed(range(len(events))):
        ended = events[index].exit
        if ended is None:
            continue
        if not ended.restarting:
            return events[index]
        after = next((event for event in reversed(events[:index]) if event.type in {"start", "stop"}), None)
        if after and after.type == "stop":
            return replace(after, exit=replace(ended, restarting=False, requested_stop=True))
    return None


def is_newer(event: Event, other: Event, events: Sequence[Event]) -> bool:
    """Return whether the event is newer than the other: above it in the list."""
    ids = [one.id for one in events]
    return ids.index(event.id) < ids.index(other.id)
