"""The errors of one file, collected so that all of them are shown at once."""

from dataclasses import dataclass, field

from reconciler.errors import SpecError
from reconciler.model.diagnostic import Diagnostic, Place
from reconciler.spec.tree import Node


@dataclass(slots=True)
class Findings:
    """What is wrong with the file `file` of this text."""

    file: str
    lines: list[str]
    found: list[Diagnostic] = field(default_factory=list)

    def add(self, at: Node, message: str, *, hint: str | None = None) -> None:
        """An error at the node's place."""
        self.add_at(at.line, at.column, message, hint=hint)

    def add_at(self, line: int, column: int, message: str, *, hint: str | None = None) -> None:
        """An error at a line and column, both from 1."""
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else None
        diagnostic = Diagnostic(place=self.place(line, column), message=message, source_line=text, hint=hint)
        if diagnostic not in self.found:
            self.found.append(diagnostic)

    def place(self, line: int, column: int) -> Place:
        return Place(file=self.file, line=line, column=column)

    def raise_if_any(self) -> None:
        """Raises SpecError with all of them, in the file's order."""
        if self.found:
            raise SpecError(sorted(self.found, key=lambda diagnostic: diagnostic.place))
