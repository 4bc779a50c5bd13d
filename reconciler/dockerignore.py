"""`.dockerignore`: which files of a build's context the builder is not given, and the walk over those that it is.

The rules are those of Docker's documentation: the last pattern that matches decides, `!` takes a file back, `**` is any
number of directories, and a pattern that matches a directory matches all that is in it.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ignore:
    """The patterns of one file, in its order."""

    rules: tuple[tuple[re.Pattern[str], bool], ...]

    def matches(self, path: str) -> bool:
        """Whether the file of this path, from the context with `/` between names, is left out."""
        is_out = False
        for pattern, takes_back in self.rules:
            if is_out == takes_back and pattern.fullmatch(path):
                is_out = not takes_back
        return is_out

    @property
    def has_exceptions(self) -> bool:
        """Whether something may be taken back below a directory that is left out."""
        return any(takes_back for _, takes_back in self.rules)


def parse_ignore(lines: Iterable[str]) -> Ignore:
    """The patterns of a `.dockerignore`. A line that is no pattern is passed over, as builders do."""
    rules = []
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        takes_back = text.startswith("!")
        parts = [part for part in text.removeprefix("!").strip().split("/") if part not in {"", "."}]
        if parts and ".." not in parts:
            rules.append((re.compile(_expression(parts), re.DOTALL), takes_back))
    return Ignore(tuple(rules))


def read_ignore(*files: Path) -> Ignore:
    """The patterns of the first of the files that is there; none without any. Raises OSError."""
    for path in files:
        try:
            return parse_ignore(path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines())
        except FileNotFoundError:
            continue
    return Ignore(())


def kept(context: Path, ignore: Ignore) -> Iterator[tuple[Path, str]]:
    """Every file, link and directory that is not left out, with its path from the context, in the order of names."""
    for folder, folders, names in os.walk(context):
        folders.sort()
        here = Path(folder).relative_to(context)
        for name in sorted((*names, *folders)):
            relative = (here / name).as_posix()
            if not ignore.matches(relative):
                yield Path(folder) / name, relative
            elif name in folders and not ignore.has_exceptions:
                folders.remove(name)


def _expression(parts: list[str]) -> str:
    expression = ""
    for position, part in enumerate(parts):
        is_last = position == len(parts) - 1
        if part == "**":
            expression += ".*" if is_last else "(?:.*/)?"
        else:
            expression += _name(part) + ("" if is_last else "/")
    return expression + "(?:/.*)?"  # all that is in a directory that matches


def _name(part: str) -> str:
    """One name's pattern: `*` and `?` match no `/`, `[a-z]` and `[^a-z]` as in Go, `**` within a name as there."""
    found, at = "", 0
    while at < len(part):
        character = part[at]
        end = part.find("]", at + 2) if character == "[" else -1
        if part.startswith("**", at):
            found, at = found + ".*", at + 2
        elif character == "*":
            found, at = found + "[^/]*", at + 1
        elif character == "?":
            found, at = found + "[^/]", at + 1
        elif character == "\\" and at + 1 < len(part):
            found, at = found + re.escape(part[at + 1]), at + 2
        elif end > 0:
            inner = part[at + 1 : end].replace("\\", r"\\").replace("[", r"\[")
            found, at = found + f"[{inner}]", end + 1
        else:
            found, at = found + re.escape(character), at + 1
    return found
