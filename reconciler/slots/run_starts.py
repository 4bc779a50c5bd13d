"""Which start of a machine was whose, from its events and the records on it. Pure.

A start belongs to the record with the newest fence before it; a record owns the oldest such start, since what starts
the machine again without a record was not its claimer. Events are newest first and come from one server.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.model.machine import Event
from reconciler.slots.run_records import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpan:
    """The starts of one run, oldest first: its own, then the platform's restarts. `following` is the next run's."""

    starts: tuple[Event, ...]
    following: Event | None = None

    def extended(self, events: Sequence[Event]) -> "RunSpan":
        """The span with what these events tell, which may no longer reach back to the run's start."""
        position = {event.id: index for index, event in enumerate(events)}
        at = min((position[start.id] for start in self.starts if start.id in position), default=len(events))
        starts = list(self.starts)
        for index in reversed(range(at)):
            if events[index].type != "start":
                continue
            # The oldest event of a list that begins within the run: what came before it is not told.
            is_edge = index + 1 == len(events)
            if not (is_edge or _is_restart(events, index)):
                return RunSpan(starts=tuple(starts), following=events[index])
            starts.append(events[index])
        return RunSpan(starts=tuple(starts), following=self.following)

    def attempt_at(self, timestamp_ms: float) -> int:
        """Which of the starts was the last before that moment: 1 for the run's own, 0 before that."""
        return sum(start.timestamp_ms <= timestamp_ms for start in self.starts)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedStart:
    """A start with its record, and the events from it to the next run's start, newest first.

    Where `is_cut`, the run's own start has left the list: `start` is the oldest restart that is told.
    """

    start: Event
    newer: tuple[Event, ...]
    record: RunRecord | None
    following: Event | None
    is_cut: bool = False

    @property
    def span(self) -> RunSpan:
        restarts = (event for event in reversed(self.newer) if event.type == "start")
        return RunSpan(starts=(self.start, *restarts), following=self.following)


def owned_starts(events: Sequence[Event], records: Sequence[RunRecord]) -> list[OwnedStart]:
    """A run for each start of the events, newest first."""
    position = {event.id: index for index, event in enumerate(events)}
    fences = [(position.get(record.fence, len(events)), record) for record in records]
    every = [index for index, event in enumerate(events) if event.type == "start"]
    starts = [index for index in every if index == every[-1] or not _is_restart(events, index)]
    found: list[OwnedStart] = []
    taken: set[str] = set()
    for index in reversed(starts):
        before = [(at, record) for at, record in fences if at > index]
        # The newest fence before the start; of two records with one fence the later claim voids the earlier.
        owner = min(before, key=lambda pair: (pair[0], _descending(pair[1].ulid)), default=None)
        is_told = owner is not None and owner[0] < len(events)
        # The list begins within a run that the platform starts again and again.
        is_cut = index == every[-1] and not is_told and _is_one_of_several(events, index)
        record = None
        if owner and owner[1].ulid not in taken and (is_told or is_cut or len(records) == 1):
            record = owner[1]  # or, where its fence has left the list, the only claim there ever was
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
    """Whether the start was the platform's own, or the platform answered the exit after it with another one."""
    ended = next((event.exit for event in reversed(events[:index]) if event.exit is not None), None)
    return _is_restart(events, index) or (ended is not None and ended.restarting)


def _is_restart(events: Sequence[Event], index: int) -> bool:
    """Whether the start was the platform's own, after an exit that its restart policy answered."""
    for event in events[index + 1 :]:
        if event.exit is not None:
            return event.exit.restarting
        if event.type in {"start", "stop"}:
            return False
    return False


def _descending(ulid: str) -> tuple[int, ...]:
    return tuple(-ord(character) for character in ulid)


def final_exit(events: Sequence[Event]) -> Event | None:
    """The exit that ended the run: the oldest one after which the machine did not restart by itself.

    A stop that came before the restart ended the run: then it is the stop's event, with that exit, as asked for.
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
    """Whether the event is above the other in the list."""
    ids = [one.id for one in events]
    return ids.index(event.id) < ids.index(other.id)
