"""Apply `.dockerignore`: walk the files of a context that are not ignored.

The rules are those of Docker's documentation: the last matching pattern decides, `!` includes a file again, `**` is any
number of directories, and a pattern that matches a directory matches everything in it.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

_ANY: Final = re.compile(r"[^/]")  # what `?` matches
_SLASH: Final = re.compile("/")
# The pattern of one name: a regular expression for each character, True for any number of characters, and False for any
# number of characters other than `/`.
_Name: TypeAlias = list[re.Pattern[str] | bool]


class Ignore:
    """The patterns of one file, in its order.

    A state machine that matches all patterns at once, with one bit for each position in each pattern. A regular
    expression would be exponential for a pattern with many `*`, and patterns come from anyone who opens a pull request.
    """

    def __init__(self) -> None:
        self._singles: list[tuple[int, re.Pattern[str]]] = []  # a position, and the characters that lead to the next
        self._stays = {False: 0, True: 0}  # positions that stay at any character; True: at `/` too
        self._skips = {1: 0, 3: 0}  # positions from which 1 or 3 positions may be skipped
        self._starts = 0
        self._ends: list[tuple[int, bool]] = []  # the end positions of each pattern, and whether it begins with `!`
        self._size = 0
        self._steps: dict[str, int] = {}  # by character, the positions that it leads on from

    def matches(self, path: str) -> bool:
        """Return whether a file is ignored.

        Its path is relative to the context, with `/`.
        """
        places = self._passed_over(self._starts)
        for character in path:
            stays = self._stays[True] | (0 if character == "/" else self._stays[False])
            places = self._passed_over((places & self._leading_on(character)) << 1 | places & stays)
        return next((not takes_back for end, takes_back in reversed(self._ends) if places & end), False)

    @property
    def has_exceptions(self) -> bool:
        """Return whether a file in an ignored directory may be included again."""
        return any(takes_back for _, takes_back in self._ends)

    def add(self, names: list[_Name | None], *, takes_back: bool) -> None:
        """Add a pattern of these names; None stands for any number of names."""
        self._starts |= 1 << self._size
        for position, name in enumerate(names):
            is_last = position == len(names) - 1
            if name is not None:
                self._add_name(name)
            elif is_last:
                self._add_stay(crosses=True)
            else:  # any number of names, each with a slash
                self._skips[1] |= 1 << self._size
                self._skips[3] |= 1 << self._size
                self._size += 1
                self._add_stay(crosses=True)
            if not is_last:
                self._add_single(_SLASH)
        end = 1 << self._size
        self._add_single(_SLASH)  # everything in a directory that matches
        self._stays[True] |= 1 << self._size
        self._ends.append((end | 1 << self._size, takes_back))
        self._size += 1

    def _add_name(self, name: _Name) -> None:
        for one in name:
            if isinstance(one, bool):
                self._add_stay(crosses=one)
            else:
                self._add_single(one)

    def _add_single(self, single: re.Pattern[str]) -> None:
        self._singles.append((self._size, single))
        self._size += 1

    def _add_stay(self, *, crosses: bool) -> None:
        self._stays[crosses] |= 1 << self._size
        self._skips[1] |= 1 << self._size
        self._size += 1

    def _leading_on(self, character: str) -> int:
        if character not in self._steps:
            fitting = (1 << place for place, single in self._singles if single.fullmatch(character))
            self._steps[character] = sum(fitting)
        return self._steps[character]

    def _passed_over(self, places: int) -> int:
        """Return the positions, and those that are reached from them without a character."""
        while (more := places | (places & self._skips[1]) << 1 | (places & self._skips[3]) << 3) != places:
            places = more
        return places


def parse_ignore(lines: Iterable[str]) -> Ignore:
    """Parse a `.dockerignore`. An invalid line is skipped, as builders do."""
    ignore = Ignore()
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        takes_back = text.startswith("!")
        parts = [part for part in text.removeprefix("!").strip().split("/") if part not in {"", "."}]
        if not parts or ".." in parts:
            continue
        with suppress(re.error):
            ignore.add(_names(parts), takes_back=takes_back)
    return ignore


def read_ignore(*files: Path) -> Ignore:
    """Read the first of the files that exists; no patterns if none does.

    Raises OSError.
    """
    for path in files:
        try:
            return parse_ignore(path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines())
        except FileNotFoundError:
            continue
    return Ignore()


def kept(context: Path, ignore: Ignore) -> Iterator[tuple[Path, str]]:
    """Yield every file, link and directory that is not ignored, sorted by name.

    Each comes with its path relative to the context.
    """
    for folder, folders, names in os.walk(context):
        folders.sort()
        here = Path(folder).relative_to(context)
        for name in sorted((*names, *folders)):
            relative = (here / name).as_posix()
            if not ignore.matches(relative):
                yield Path(folder) / name, relative
            elif name in folders and not ignore.has_exceptions:
                folders.remove(name)


def _names(parts: list[str]) -> list[_Name | None]:
    """Parse the names of a pattern; None is any number of names. Raises re.error."""
    names: list[_Name | None] = []
    for part in parts:
        name = None if part == "**" else _name(part)
        if name is not None or not names or names[-1] is not None:  # several `**` in a row are one
            names.append(name)
    return names


def _name(part: str) -> _Name:
    """Parse one name: `*` and `?` do not match `/`.

    `[a-z]`, `[^a-z]` and `**` are as in Go.
    """
    name: _Name = []
    at = 0
    while at < len(part):
        character = part[at]
        end = part.find("]", at + 2) if character == "[" else -1
        if character == "*":
            stars = len(part) - at - len(part[at:].lstrip("*"))
            name.append(stars > 1)
            at += stars
        elif character == "?":
            name.append(_ANY)
            at += 1
        elif character == "\\" and at + 1 < len(part):
            name.append(re.compile(re.escape(part[at + 1])))
            at += 2
        elif end > 0:
            inner = part[at + 1 : end].replace("\\", r"\\").replace("[", r"\[")
            name.append(re.compile(f"[{inner}]"))
            at = end + 1
        else:
            name.append(re.compile(re.escape(character)))
            at += 1
    return name
