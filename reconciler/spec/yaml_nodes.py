"""A YAML document as a tree that knows where everything stood, and its spelling."""

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from msgspec import Struct

from reconciler.hidden import HidesFields

_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_MAX_DIGITS: Final = 30


class Scalar(HidesFields, frozen=True, kw_only=True):
    """A scalar as spelled. Only a plain one (without quotes) can be no string.

    `variables` are the names of those that it holds the values of, which may be secrets.
    """

    _hidden = frozenset({"text"})

    file: str
    line: int
    column: int
    text: str
    is_plain: bool
    size: int = 1
    variables: tuple[str, ...] = ()

    @property
    def value(self) -> Any:
        """Return its value by the YAML 1.2 core schema.

        That is null, a boolean, a number or a string.
        """
        if not self.is_plain:
            return self.text
        if self.text in _WORDS:
            return _WORDS[self.text]
        if len(self.text) > _MAX_DIGITS:
            return self.text
        if _INTEGER.fullmatch(self.text):
            return int(self.text, 0) if self.text[:2] in {"0o", "0x"} else int(self.text)
        return float(self.text) if _FLOAT.fullmatch(self.text) else self.text


class List(Struct, frozen=True, kw_only=True):
    file: str
    line: int
    column: int
    items: "tuple[Node, ...]"
    size: int


class Map(Struct, frozen=True, kw_only=True):
    """Keys are strings, unique, in the order of the file."""

    file: str
    line: int
    column: int
    entries: "dict[str, Entry]"
    size: int

    def get(self, key: str) -> "Node | None":
        entry = self.entries.get(key)
        return entry.value if entry else None

    def items(self) -> "Iterator[tuple[str, Entry]]":
        return iter(self.entries.items())


Node: TypeAlias = Scalar | List | Map


class Entry(Struct, frozen=True, kw_only=True):
    """One member of a map: where its key stood, and its value."""

    key: Scalar
    value: Node


def plain_value(node: Node) -> Any:
    """Return the node as plain Python values."""
    match node:
        case Scalar():
            return node.value
        case List():
            return [plain_value(item) for item in node.items]
        case Map():
            return {key: plain_value(entry.value) for key, entry in node.items()}


def is_null(node: Node | None) -> bool:
    """Return whether there is nothing there, said or unsaid."""
    return node is None or (isinstance(node, Scalar) and node.value is None)


def make_map(at: Node, entries: dict[str, Entry], *, size: int = 1) -> Map:
    """Make a map of entries from several places; it stands where `at` does."""
    return Map(file=at.file, line=at.line, column=at.column, entries=entries, size=size)
