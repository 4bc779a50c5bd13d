"""Keep the ends of runs whose machine an apply destroyed, on the pool's anchor.

Pure. A mark holds some runs of one machine, `slot;machine id;run,run`, where a run is `id:exit:start:seconds`. New ones
take free marks, then those of the oldest runs. Run records and keys of the anchor itself have priority for its space.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from reconciler.model import marks
from reconciler.model.machine import Event, Exit, Machine
from reconciler.slots.run_records import exit_from_text, exit_to_text, is_past_deadline, records_of, room_in
from reconciler.slots.run_starts import final_exit, owned_starts

_MARKS: Final = 8
_RUNS_OF_A_MACHINE: Final = 8
_SEPARATOR: Final = ";"
_BETWEEN_RUNS: Final = ","
_BETWEEN_FIELDS: Final = ":"
_LONGEST_ID: Final = 64


class RunEnd(Struct, frozen=True, kw_only=True):
    """One run that has ended; `id` is its ULID, or the id of its start event."""

    slot: str
    machine_id: str
    id: str
    exit: Exit
    started_at: datetime
    ended_at: datetime
    was_late: bool = False  # it ended at its deadline or later


def ends_of(machine: Machine, events: Sequence[Event]) -> list[RunEnd]:
    """Return the machine's newest runs with a known end, newest first."""
    records = sorted(records_of(machine.metadata).values(), key=lambda record: record.ulid)
    found = []
    for run in owned_starts(events, records):
        exited = final_exit(run.newer)
        run_id = run.record.ulid if run.record else run.start.id
        if exited is None or exited.exit is None or exited.exit.error or not _is_plain(run_id):
            continue
        found.append(
            RunEnd(
                slot=machine.name,
                machine_id=machine.id,
                id=run_id,
                exit=exited.exit,
                started_at=run.start.at,
                ended_at=exited.at,
                was_late=is_past_deadline(exited.at, run.record.deadline if run.record else None),
            )
        )
    return found[:_RUNS_OF_A_MACHINE]


def kept_ends(metadata: Mapping[str, str]) -> list[RunEnd]:
    """Parse the ends that are kept in this metadata; skip what is invalid."""
    return [end for name in _names(metadata) for end in _parse(metadata[name])]


def marks_to_keep(metadata: Mapping[str, str], ends: Sequence[RunEnd]) -> dict[str, str]:
    """Return the marks to write to keep these ends too, as far as there is room."""
    known = {(end.slot, end.id) for end in kept_ends(metadata)}
    fresh = [end for end in ends if (end.slot, end.id) not in known]
    after, written = dict(metadata), dict[str, str]()
    for value in _packed(fresh):
        name = _place_for(after, value, written)
        if name is None:
            break
        after[name] = written[name] = value
    return written


def oldest_mark(metadata: Mapping[str, str]) -> str | None:
    """Return the name of the mark whose runs ended first; None if there is none."""
    return min(_names(metadata), key=lambda name: _newest_end(metadata[name]), default=None)


def _place_for(metadata: Mapping[str, str], value: str, written: Mapping[str, str]) -> str | None:
    """Return a free mark if there is room, else the mark of the oldest runs.

    None if all marks hold newer runs than `value`.
    """
    free = next((name for name in _all_names() if name not in metadata), None)
    if free and room_in(metadata) >= len(free) + len(value):
        return free
    oldest = oldest_mark({name: metadata[name] for name in _names(metadata) if name not in written})
    if oldest is None or _newest_end(metadata[oldest]) > _newest_end(value):
        return None
    is_room = room_in(metadata) + len(metadata[oldest]) >= len(value)
    return oldest if is_room else None


def _packed(ends: Sequence[RunEnd]) -> list[str]:
    """Return the values of marks that hold the ends, in their order."""
    values: list[str] = []
    for end in ends:
        head = f"{end.slot}{_SEPARATOR}{end.machine_id}{_SEPARATOR}"
        joined = f"{values[-1]}{_BETWEEN_RUNS}{_text(end)}" if values and values[-1].startswith(head) else ""
        if joined and len(joined) <= marks.MAX_VALUE_BYTES:
            values[-1] = joined
        else:
            values.append(head + _text(end))
    return [value for value in values if len(value) <= marks.MAX_VALUE_BYTES]


def _text(end: RunEnd) -> str:
    took_s = max(0, round((end.ended_at - end.started_at).total_seconds()))
    late = "t" if end.was_late else ""
    fields = (end.id, exit_to_text(end.exit), str(int(end.started_at.timestamp())), f"{took_s}{late}")
    return _BETWEEN_FIELDS.join(fields)


def _parse(value: str) -> list[RunEnd]:
    head = value.split(_SEPARATOR)
    if len(head) != 3:
        return []
    found = []
    for text in head[2].split(_BETWEEN_RUNS):
        fields = text.split(_BETWEEN_FIELDS)
        ended = exit_from_text(fields[1]) if len(fields) == 4 else None
        if ended is None or not (_is_count(fields[2]) and _is_count(fields[3].removesuffix("t"))):
            continue
        started_at = datetime.fromtimestamp(int(fields[2]), UTC)
        ended_at = started_at + timedelta(seconds=int(fields[3].removesuffix("t")))
        found.append(
            RunEnd(
                slot=head[0],
                machine_id=head[1],
                id=fields[0],
                exit=ended,
                started_at=started_at,
                ended_at=ended_at,
                was_late=fields[3].endswith("t"),
            )
        )
    return found


def _newest_end(value: str) -> float:
    return max((end.ended_at.timestamp() for end in _parse(value)), default=0.0)


def _all_names() -> list[str]:
    return [f"{marks.ENDS}{number}" for number in range(_MARKS)]


def _names(metadata: Mapping[str, str]) -> list[str]:
    return [name for name in _all_names() if name in metadata]


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_ID and text.isascii() and text.replace("-", "").replace("_", "").isalnum()
