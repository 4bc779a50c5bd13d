"""Write and parse run records: the marks that say whose a start is.

They are written only under the lease, as no lease stops a metadata write of others. A record also keeps how the run of
the record before it ended, for when the events of that run are no longer retained.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from msgspec import Struct

from reconciler.model import marks
from reconciler.model.machine import Exit

RECORDS: Final = 16
_STAMPS_BYTES: Final = 300  # more than the marks that an update adds
_SEPARATOR: Final = ";"
_MAX_LENGTH: Final = 200
_FIELDS: Final = 6
_ULID_LENGTH: Final = 26
_NOT_KNOWN: Final = -1
_LATE: Final = "r"  # written after the `r` of a requested stop: earlier versions read `rr` as `r`
_KEPT: Final = 1_000  # a claim reads the same records again and again
_WHOLE: Final = r"[0-9]{1,11}"  # long enough for a time or a code, and ASCII digits only
_TIMER_SLACK: Final = timedelta(seconds=2)


class RunRecord(Struct, frozen=True, kw_only=True):
    """The record of one claim.

    `fence` is the id of the newest event before the start. Past `deadline` anyone may stop the run. `key` is the hash
    of an idempotency key. `previous` is how the run of the record before this one ended, if known, and
    `previous_was_late` whether it had reached its deadline by then.
    """

    ulid: str
    fence: str
    who: str
    deadline: datetime | None = None
    key: str = ""
    previous: Exit | None = None
    previous_was_late: bool = False

    def to_text(self) -> str:
        """Return one line of ASCII, at most 200 bytes; `who` comes last and is cut."""
        deadline = str(int(self.deadline.timestamp())) if self.deadline else ""
        who = "".join(character if character.isascii() and character.isprintable() else "?" for character in self.who)
        who = who.replace(_SEPARATOR, ",")
        previous = exit_to_text(self.previous)
        if previous.endswith(_LATE) and self.previous_was_late:
            previous += _LATE
        fields = (self.ulid, self.fence, self.key, deadline, previous, who)
        return _SEPARATOR.join(fields)[:_MAX_LENGTH]


@lru_cache(maxsize=_KEPT)
def parse_record(text: str) -> RunRecord | None:
    """Parse a metadata value; None if it is not a record."""
    fields = text.split(_SEPARATOR, _FIELDS - 1)
    if len(fields) < _FIELDS or len(fields[0]) != _ULID_LENGTH:
        return None
    ulid, fence, key, deadline, previous, who = fields
    return RunRecord(
        ulid=ulid,
        fence=fence,
        key=key,
        deadline=datetime.fromtimestamp(int(deadline), UTC) if re.fullmatch(_WHOLE, deadline) else None,
        previous=exit_from_text(previous),
        previous_was_late=previous.endswith(2 * _LATE),
        who=who,
    )


def records_of(metadata: Mapping[str, str]) -> dict[int, RunRecord]:
    """Return the machine's records by their number, 0 to 15."""
    found = {number: parse_record(metadata.get(f"{marks.RUN}{number}", "")) for number in range(RECORDS)}
    return {number: record for number, record in found.items() if record}


def newest_record(metadata: Mapping[str, str]) -> RunRecord | None:
    """Return the record of the latest claim: ULIDs sort by time."""
    return max(records_of(metadata).values(), key=lambda record: record.ulid, default=None)


def next_key(metadata: Mapping[str, str]) -> str:
    """Return the metadata key for a new record: a free one, else the oldest record's."""
    kept = records_of(metadata)
    free = next((number for number in range(RECORDS) if number not in kept), None)
    number = free if free is not None else min(kept, key=lambda taken: kept[taken].ulid)
    return f"{marks.RUN}{number}"


def room_in(metadata: Mapping[str, str]) -> int:
    """Return the free bytes of the metadata.

    Space is reserved for the records of runs to come, and for the marks that an update adds.
    """
    missing = RECORDS - len(records_of(metadata))
    reserved = missing * (marks.MAX_VALUE_BYTES + len(marks.RUN) + 2) + _STAMPS_BYTES
    return marks.MAX_BYTES - marks.size_of(metadata) - reserved


def exit_to_text(ended: Exit | None) -> str:
    """Return an exit as `code.signal` and flags; "" for None.

    The flags are `o`, out of memory, and `r`, requested stop. An unknown end has the code -1, so that it never reads as
    a success.
    """
    if ended is None:
        return ""
    flags = ("o" if ended.oom_killed else "") + ("r" if ended.requested_stop else "")
    return f"{ended.code if ended.is_known else _NOT_KNOWN}.{ended.signal or 0}{flags}"


def exit_from_text(text: str) -> Exit | None:
    """Parse an exit that `exit_to_text` wrote; None if it is not one."""
    code, _, rest = text.partition(".")
    signal = rest.rstrip("or")
    if not (re.fullmatch(_WHOLE, code.removeprefix("-")) and re.fullmatch(_WHOLE, signal)):
        return None
    flags = rest[len(signal) :]
    return Exit(code=int(code), signal=int(signal) or None, oom_killed="o" in flags, requested_stop="r" in flags)


def is_past_deadline(at: datetime, deadline: datetime | None) -> bool:
    """Return whether a run that ended then had reached its deadline.

    With two seconds of slack, as timers may fire a moment early.
    """
    return deadline is not None and at + _TIMER_SLACK >= deadline
