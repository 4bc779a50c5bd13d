"""Which start of a machine was whose, from its events and the records on it. Pure.

A start belongs to the record with the newest fence before it; a record owns the oldest such start, since what starts
the machine again without a record was not its claimer. Events are newest first and come from one server.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.model.machine import Event
from reconciler.slots.run_records import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedStart:
    """A start with its record, and the events from it to the next start, newest first."""

    start: Event
    newer: tuple[Event, ...]
    record: RunRecord | None


def owned_starts(events: Sequence[Event], records: Sequence[RunRecord]) -> list[OwnedStart]:
    """A run for each start of the events, newest first."""
    position = {event.id: index for index, event in enumerate(events)}
    fences = [(position.get(record.fence, len(events)), record) for record in records]
    starts = [index for index, event in enumerate(events) if event.type == "start" and not _is_restart(events, index)]
    found: list[OwnedStart] = []
    taken: set[str] = set()
    for index in reversed(starts):
        before = [(at, record) for at, record in fences if at > index]
        # The newest fence before the start; of two records with one fence the later claim voids the earlier.
        owner = min(before, key=lambda pair: (pair[0], _descending(pair[1].ulid)), default=None)
        record = owner[1] if owner and owner[1].ulid not in taken and owner[0] < len(events) else None
        if owner and record is None and owner[0] == len(events) and len(records) == 1 and owner[1].ulid not in taken:
            record = owner[1]  # the only claim there ever was; its fence has left the list
        if record:
            taken.add(record.ulid)
        later = [other for other in starts if other < index]
        newer = tuple(events[(max(later) + 1 if later else 0) : index])
        found.append(OwnedStart(start=events[index], newer=newer, record=record))
    return found[::-1]


def next_run_after(events: Sequence[Event], start_id: str) -> Event | None:
    """The first start after that one which was not the platform's own restart: the next run of the machine."""
    at = next((index for index, event in enumerate(events) if event.id == start_id), len(events))
    later = (index for index in reversed(range(at)) if events[index].type == "start")
    return next((events[index] for index in later if not _is_restart(events, index)), None)


def _is_restart(events: Sequence[Event], index: int) -> bool:
    """Whether the start was the platform's own, after an exit that its restart policy answered."""
    for event in events[index + 1 :]:
        if event.exit is not None:
            return event.exit.restarting
        if event.type == "start":
            return False
    return False


def _descending(ulid: str) -> tuple[int, ...]:
    return tuple(-ord(character) for character in ulid)


def final_exit(events: Sequence[Event]) -> Event | None:
    """The exit that ended the run: the oldest one after which the machine did not restart by itself."""
    exits = (event for event in reversed(events) if event.exit is not None)
    return next((event for event in exits if event.exit and not event.exit.restarting), None)
