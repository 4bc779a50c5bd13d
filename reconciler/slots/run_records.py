"""Run records: what the claimer of a machine writes on it, so that anyone can tell later which start was whose.

Written as metadata while the lease is held, since no lease stops a metadata write. A record also keeps how the run of
the record before it ended, for the day on which the events no longer reach back so far.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from reconciler.model import marks
from reconciler.model.machine import Exit

RECORDS: Final = 16
_STAMPS_BYTES: Final = 300  # more than an update adds to what is there
_SEPARATOR: Final = ";"
_MAX_LENGTH: Final = 200
_FIELDS: Final = 6
_ULID_LENGTH: Final = 26
_NOT_KNOWN: Final = -1
_LATE: Final = "r"  # behind the `r` of a stop that was asked for: earlier versions read both as that one
_WHOLE: Final = re.compile(r"[0-9]{1,11}")  # no more than a time or a code has, and no digit that int() refuses


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One claim. `fence` is the newest event's id before it; past `deadline` anyone may end the run.

    `key` is the hash of an idempotency key; `previous` how the run of the record before this one ended, where known,
    and `previous_was_late` whether that was at or past its deadline.
    """

    ulid: str
    fence: str
    who: str
    deadline: datetime | None = None
    key: str = ""
    previous: Exit | None = None
    previous_was_late: bool = False

    def to_text(self) -> str:
        """One line of ASCII, at most 200 bytes; the fields in a fixed order, `who` cut last."""
        deadline = str(int(self.deadline.timestamp())) if self.deadline else ""
        who = "".join(character if character.isascii() and character.isprintable() else "?" for character in self.who)
        who = who.replace(_SEPARATOR, ",")
        previous = exit_to_text(self.previous)
        if previous.endswith(_LATE) and self.previous_was_late:
            previous += _LATE
        fields = (self.ulid, self.fence, self.key, deadline, previous, who)
        return _SEPARATOR.join(fields)[:_MAX_LENGTH]


def parse_record(text: str) -> RunRecord | None:
    """The record of a metadata value; None where it is none."""
    fields = text.split(_SEPARATOR, _FIELDS - 1)
    if len(fields) < _FIELDS or len(fields[0]) != _ULID_LENGTH:
        return None
    ulid, fence, key, deadline, previous, who = fields
    return RunRecord(
        ulid=ulid,
        fence=fence,
        key=key,
        deadline=datetime.fromtimestamp(int(deadline), UTC) if _WHOLE.fullmatch(deadline) else None,
        previous=exit_from_text(previous),
        previous_was_late=previous.endswith(2 * _LATE),
        who=who,
    )


def records_of(metadata: Mapping[str, str]) -> dict[int, RunRecord]:
    """The machine's records by their number, 0 to 15."""
    found = {number: parse_record(metadata.get(f"{marks.RUN}{number}", "")) for number in range(RECORDS)}
    return {number: record for number, record in found.items() if record}


def newest_record(metadata: Mapping[str, str]) -> RunRecord | None:
    """The record of the latest claim: ULIDs sort by time."""
    return max(records_of(metadata).values(), key=lambda record: record.ulid, default=None)


def next_key(metadata: Mapping[str, str]) -> str:
    """The metadata key for a new record: a free number, else the oldest record's."""
    kept = records_of(metadata)
    free = next((number for number in range(RECORDS) if number not in kept), None)
    number = free if free is not None else min(kept, key=lambda taken: kept[taken].ulid)
    return f"{marks.RUN}{number}"


def room_in(metadata: Mapping[str, str]) -> int:
    """The bytes that are free, less what the records of the runs to come and an update's stamps need."""
    missing = RECORDS - len(records_of(metadata))
    reserved = missing * (marks.MAX_VALUE_BYTES + len(marks.RUN) + 2) + _STAMPS_BYTES
    return marks.MAX_BYTES - marks.size_of(metadata) - reserved


def exit_to_text(ended: Exit | None) -> str:
    """`code.signal`, with `o` for lack of memory and `r` for a stop that was asked for; empty for none.

    An end that is not known has the code -1, so that it never reads as a success.
    """
    if ended is None:
        return ""
    flags = ("o" if ended.oom_killed else "") + ("r" if ended.requested_stop else "")
    return f"{ended.code if ended.is_known else _NOT_KNOWN}.{ended.signal or 0}{flags}"


def exit_from_text(text: str) -> Exit | None:
    code, _, rest = text.partition(".")
    signal = rest.rstrip("or")
    if not (_WHOLE.fullmatch(code.removeprefix("-")) and _WHOLE.fullmatch(signal)):
        return None
    flags = rest[len(signal) :]
    return Exit(code=int(code), signal=int(signal) or None, oom_killed="o" in flags, requested_stop="r" in flags)
