"""Run records: what the claimer of a machine writes on it, so that anyone can tell later which start was whose.

Written as metadata while the lease is held, since no lease stops a metadata write.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from reconciler.model import marks

RECORDS: Final = 16
_SEPARATOR: Final = ";"
_MAX_LENGTH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One claim. `fence` is the newest event's id before it; past `deadline` anyone may end the run."""

    ulid: str
    fence: str
    who: str
    deadline: datetime | None = None

    def to_text(self) -> str:
        """One line of ASCII, at most 200 bytes; the fields in a fixed order, `who` cut last."""
        deadline = str(int(self.deadline.timestamp())) if self.deadline else ""
        who = "".join(character if character.isascii() and character.isprintable() else "?" for character in self.who)
        fields = (self.ulid, self.fence, "", deadline, who.replace(_SEPARATOR, ","))
        return _SEPARATOR.join(fields)[:_MAX_LENGTH]


def parse_record(text: str) -> RunRecord | None:
    """The record of a metadata value; None where it is none."""
    fields = text.split(_SEPARATOR)
    if len(fields) < 5 or len(fields[0]) != 26:
        return None
    deadline = datetime.fromtimestamp(int(fields[3]), UTC) if fields[3].isdigit() else None
    return RunRecord(ulid=fields[0], fence=fields[1], deadline=deadline, who=fields[4])


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
