"""The errors of one file, collected so that all of them are shown at once."""

import re
from dataclasses import dataclass, field
from typing import Final

from reconciler.errors import SpecError
from reconciler.model.diagnostic import Diagnostic, Place
from reconciler.spec.tree import Node

_KEY: Final = re.compile(r"\s*(?:- +)*[\"']?(\w+)[\"']?\s*:")
# Whatever stands in or below these keys may be a secret.
_SECRET: Final = re.compile(r"(?:^|[\s{,\"'])(env|content|content_base64|raw_value|value|values)[\"']?\s*:")


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
        text = self._shown(line - 1) if 0 < line <= len(self.lines) else None
        diagnostic = Diagnostic(place=self.place(line, column), message=message, source_line=text, hint=hint)
        if diagnostic not in self.found:
            self.found.append(diagnostic)

    def _shown(self, position: int) -> str | None:
        """The line as written; None where a value of a variable or a file may stand in it.

        Told by the text alone, the keys of the lines that it is indented under, since it may be no YAML at all.
        """
        text = self.lines[position]
        indent = _indent(text)
        if _SECRET.search(text) and not text.rstrip().endswith(":"):
            return None
        for above in reversed(self.lines[:position]):
            depth = _indent(above)
            if above.strip() and depth < indent:
                indent = depth
                if (key := _KEY.match(above)) and _SECRET.search(f"{key[1]}:"):
                    return None
        return text

    def place(self, line: int, column: int) -> Place:
        return Place(file=self.file, line=line, column=column)

    def raise_if_any(self) -> None:
        """Raises SpecError with all of them, in the file's order."""
        if self.found:
            raise SpecError(sorted(self.found, key=lambda diagnostic: diagnostic.place))


def _indent(line: str) -> int:
    spread = line.expandtabs()
    return len(spread) - len(spread.lstrip())
