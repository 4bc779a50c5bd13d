"""The revision of a spec: it tells which of two applies is the older one."""

import re
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

_TEXT: Final = r"(n|g)(\d{1,18})(?:\.([0-9a-f]{4,40}))?"
_BEGUN = ";"  # after the revision: it is not applied whole yet, and what follows was


class Revision(Struct, frozen=True, kw_only=True):
    """A pipeline's number (`n`), or the committer time of a commit (`g`).

    A commit's time is in seconds since 1970. The two kinds do not compare, and neither do two commits of one second.
    """

    kind: str
    order: int
    commit: str = ""

    def __str__(self) -> str:
        return f"{self.kind}{self.order}" + (f".{self.commit}" if self.commit else "")

    @property
    def words(self) -> str:
        """Return the revision as people read it."""
        if self.kind == "n":
            return f"revision {self.order}"
        return f"commit {self.commit} of {datetime.fromtimestamp(self.order, UTC):%Y-%m-%d %H:%M:%S} UTC"

    def is_newer_than(self, other: "Revision | None") -> bool:
        """Return whether this one certainly came after the other."""
        return other is not None and self.kind == other.kind and self.order > other.order


def numbered(number: int) -> Revision:
    return Revision(kind="n", order=number)


def committed(time_s: int, commit: str) -> Revision:
    return Revision(kind="g", order=time_s, commit=commit[:12])


def parse_revision(text: str) -> Revision | None:
    """Parse the revision of a mark; None if it is none."""
    if not text:
        return None  # most machines have no such mark
    found = re.fullmatch(_TEXT, text.partition(_BEGUN)[0])
    return Revision(kind=found[1], order=int(found[2]), commit=found[3] or "") if found else None


def begun(revision: Revision, whole: Revision | None = None) -> str:
    """Return the mark of a revision that is not applied whole yet.

    `whole` is the one before, that was.
    """
    return f"{revision}{_BEGUN}{whole or ''}"


def parse_whole(text: str) -> Revision | None:
    """Parse the mark `hw`: the newest revision that was applied whole, None if none."""
    newest, is_begun, before = text.partition(_BEGUN)
    return parse_revision(before if is_begun else newest)
