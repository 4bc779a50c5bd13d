"""What a check of the set-up has found, and how it is mended."""

import enum
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field


class Level(enum.StrEnum):
    """How a check ended. Only FAIL keeps the set-up from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"  # it is not needed here, or could not be tried


class Finding(Struct, frozen=True, kw_only=True):
    """One line of a check: what is so, and what to type if it should not be.

    `facts` are the same for programs.
    """

    level: Level
    text: str
    mend: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    check: str = ""


class Examination(Struct, frozen=True, kw_only=True):
    """All findings, in the order of the checks. `target` is what the user calls it."""

    target: str
    findings: tuple[Finding, ...]

    def count(self, level: Level) -> int:
        """Return how many findings have this level."""
        return sum(finding.level is level for finding in self.findings)

    @property
    def is_healthy(self) -> bool:
        """Return whether nothing failed."""
        return not self.count(Level.FAIL)
