"""Collect the errors of a spec's files, so that all are shown at once.

Each is shown with as much of its line as may be seen.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.canonical.sections import SECRET_KEYS
from reconciler.errors import SpecError
from reconciler.model.spec import Diagnostic, Place
from reconciler.spec.yaml_nodes import Entry, List, Map, Node

_MOST: Final = 100  # are told; the others are counted
_MOST_LINES: Final = 8  # on which a variable is used, are named
_LONGEST_LINE: Final = 400  # of which an excerpt shows less
_KEY: Final = r"\s*(?:- +)*[\"']?[\w-]+[\"']?\s*:"


class _Text(Struct):
    """The lines of one file, and what may be shown of them."""

    lines: list[str]
    secret_lines: frozenset[int] | None = None  # None until the tree is known
    shown_until: dict[int, int] = field(default_factory=dict)  # by line: the column at which an unknown value begins


class _Unset(Struct):
    """A variable that is not set: what is told once, and where it is used."""

    message: str
    hint: str
    places: dict[Place, None] = field(default_factory=dict)


class Findings(Struct):
    """What is wrong with a spec: in its file, and in those that lie over it."""

    # Each once, however many aliases lead to it, and up to which column its line is shown.
    found: dict[Diagnostic, int | None] = field(default_factory=dict)
    unlisted_regions: dict[str, Diagnostic] = field(default_factory=dict)  # no errors: the list is dated
    _unset: dict[tuple[str, str], _Unset] = field(default_factory=dict)  # by variable and what is asked of it
    _unknown: set[Place] = field(default_factory=set)  # of values that are not known, as a variable is unset
    _texts: dict[str, _Text] = field(default_factory=dict)  # by the names of the files

    def read(self, file: str, lines: list[str]) -> None:
        """Take the lines of a file; errors show them."""
        self._texts[file] = _Text(lines)

    def know(self, root: Node) -> None:
        """Learn from the tree of a file which lines hold values that must not be shown."""
        starts: dict[int, bool] = {}
        for node, is_secret in _starts(root, is_secret=False):
            starts[node.line] = starts.get(node.line, False) or is_secret
        text = self._texts[root.file]
        secret, is_secret = set(), False
        for line in range(1, len(text.lines) + 1):
            is_secret = starts.get(line, is_secret)  # what goes on over several lines begins on the first of them
            if is_secret:
                secret.add(line)
        text.secret_lines = frozenset(secret)

    def add(self, at: Node, message: str, *, hint: str | None = None) -> None:
        """Add an error at the node's place."""
        self.add_at(place_of(at), message, hint=hint)

    def add_unset(self, name: str, at: Node, message: str, *, hint: str) -> None:
        """Add a use of a variable that is not set; each variable is one error.

        What else would be wrong with the value at `at` follows from that, and is not told.
        """
        place = place_of(at)
        self._unknown.add(place)
        self._unset.setdefault((name, message), _Unset(message, hint)).places[place] = None

    def add_unknown(self, entry: Entry, message: str, *, hint: str | None = None) -> None:
        """Add an error at an unknown key.

        Nobody knows what its value is for, so it is not shown, by whatever else is wrong on its lines either.
        """
        key = entry.key
        for node, _ in _starts(entry.value, is_secret=True):
            self._texts[node.file].shown_until.setdefault(node.line, 0)
        until = key.column - 1 + len(key.text)
        shown_until = self._texts[key.file].shown_until
        shown_until[key.line] = min(until, shown_until.get(key.line) or until)
        self.add_at(place_of(key), message, hint=hint, until=until)

    def add_at(self, place: Place, message: str, *, hint: str | None = None, until: int | None = None) -> None:
        """Add an error at a place. Its line is shown `until` a column, if that is given."""
        if place in self._unknown:
            return
        is_unread = self._texts[place.file].secret_lines is None  # then nobody knows yet which lines hold secrets
        self.found.setdefault(Diagnostic(place=place, message=message, hint=hint), 0 if is_unread else until)

    def raise_if_any(self) -> None:
        """Raise SpecError if there are errors.

        It has the first hundred of them, in the file's order, and how many more there are.
        """
        self._tell_unset()
        if self.found:
            import heapq

            first = heapq.nsmallest(_MOST, self.found, key=lambda diagnostic: diagnostic.place)
            shown = [replace(one, source_line=self._shown(one.place, self.found[one])) for one in first]
            raise SpecError(shown, more=len(self.found) - len(first))

    def with_line(self, diagnostic: Diagnostic) -> Diagnostic:
        """Return the diagnostic with as much of its line as may be seen."""
        return replace(diagnostic, source_line=self._shown(diagnostic.place, None))

    def _tell_unset(self) -> None:
        """Add each variable that is not set at its first place; the words name others."""
        for unset in self._unset.values():
            first, *others = sorted(unset.places)
            lines = dict.fromkeys(
                f"{one.line}" if one.file == first.file else f"{one.line} of {one.file}"
                for one in others
                if (one.file, one.line) != (first.file, first.line)
            )
            said = [*islice(lines, _MOST_LINES), *(["…"] if len(lines) > _MOST_LINES else [])]
            too = (
                f"; lines {', '.join(said)} use it too"
                if len(said) > 1
                else f"; line {said[0]} uses it too"
                if said
                else ""
            )
            self.found.setdefault(Diagnostic(place=first, message=unset.message + too, hint=unset.hint), None)
        self._unset.clear()

    def _shown(self, place: Place, until: int | None) -> str | None:
        """Return the line as written; its key alone if its value may be a secret.

        That is so too if nobody knows what the value is.
        """
        line, of_file = place.line, self._texts[place.file]
        if not 0 < line <= len(of_file.lines):
            return None
        text = of_file.lines[line - 1][:_LONGEST_LINE]
        begins = of_file.shown_until.get(line)
        if begins is not None:
            until = 0 if place.column > begins else until or begins
        if until != 0 and line not in (of_file.secret_lines or ()):
            return text if until is None else f"{text[:until]} …"
        key = re.match(_KEY, text)
        return f"{key[0]} …" if key else None


def place_of(node: Node) -> Place:
    """Return where the node stood."""
    return Place(file=node.file, line=node.line, column=node.column)


def _starts(node: Node, *, is_secret: bool) -> Iterator[tuple[Node, bool]]:
    """Yield the keys and values, and whether they are secret."""
    yield node, is_secret
    if isinstance(node, Map):
        for key, entry in node.items():
            yield entry.key, is_secret
            yield from _starts(entry.value, is_secret=is_secret or key in SECRET_KEYS)
    elif isinstance(node, List):
        for item in node.items:
            yield from _starts(item, is_secret=is_secret)
