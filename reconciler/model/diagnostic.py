"""A finding about a spec: where it is, what is wrong, what was expected."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """A point in a source file. `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One error of a spec.

    `source_line` is the offending line as written; `hint` says what to do, if we know.
    """

    place: Place
    message: str
    source_line: str | None = None
    hint: str | None = None
