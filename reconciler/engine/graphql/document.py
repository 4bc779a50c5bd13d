"""Read a GraphQL document: fields, their names in the answer, and arguments.

Variables are replaced by their values. Fragments are replaced by their fields, whatever type they are on. Types and
directives are ignored.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_TOKEN: Final = re.compile(
    r'[\s,\ufeff]+|#[^\n\r]*|(?P<spread>\.\.\.)|(?P<string>"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*")'
    r"|(?P<name>[A-Za-z_]\w*)|(?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<sign>[!$&()\[\]{}:=@|])",
    re.ASCII,
)
_KINDS: Final = ("query", "mutation")
_WORDS: Final = {"true": True, "false": False, "null": None}
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}


class DocumentError(Exception):
    """The document cannot be read; the message says why."""


class Field(NamedTuple):
    """One field that is asked for. `key` is its name in the answer.

    `fields` are the fields of its value; a scalar has none.
    """

    key: str
    name: str
    arguments: dict[str, Any]
    fields: "tuple[Field, ...]"


class Operation(NamedTuple):
    """What one request asks for; `kind` is query or mutation."""

    kind: str
    fields: tuple[Field, ...]


def read_document(text: str, variables: Mapping[str, Any], name: str | None = None) -> Operation:
    """Return the operation of this name, or the only one. Raises DocumentError."""
    try:
        return _Reader(text, variables).operation(name)
    except (IndexError, RecursionError) as error:
        raise DocumentError("the document ends too early, or is too deep") from error


class _Reader:
    """Reads tokens from left to right. Raises IndexError at the end of the text."""

    def __init__(self, text: str, variables: Mapping[str, Any]) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._variables = variables
        self._fragments: dict[str, int] = {}  # where the fields of each begin

    def operation(self, wanted: str | None) -> Operation:
        found: list[tuple[str, str, int]] = []
        while self._at < len(self._tokens):
            kind = name = ""
            if self._peek() != "{":
                kind = self._next()
                name = self._next() if re.match(r"\w", self._peek()) else ""
                while self._peek() != "{":
                    self._skip()  # variables, types, directives
            if kind == "fragment":
                self._fragments[name] = self._at
            elif kind not in {"", *_KINDS}:
                raise DocumentError(f"unexpected {kind!r}")
            else:
                found.append((kind or "query", name, self._at))
            self._skip()
        chosen = [one for one in found if wanted in {None, "", one[1]}]
        if len(chosen) != 1:
            raise DocumentError(f"no operation {wanted!r}" if wanted else f"{len(found)} operations; one is expected")
        kind, _, self._at = chosen[0]
        return Operation(kind, self._fields())

    def _fields(self) -> tuple[Field, ...]:
        self._take("{")
        found: list[Field] = []
        while self._peek() != "}":
            found += self._spread() if self._peek() == "..." else [self._field()]
        self._take("}")
        return tuple(found)

    def _spread(self) -> tuple[Field, ...]:
        self._take("...")
        if self._peek() not in {"on", "{", "@"}:
            name = self._next()
            if name not in self._fragments:
                raise DocumentError(f"no fragment {name!r}")
            after, self._at = self._at, self._fragments[name]
            fields = self._fields()
            self._at = after
            return fields
        while self._peek() != "{":
            self._skip()
        return self._fields()

    def _field(self) -> Field:
        key = name = self._name()
        if self._peek() == ":":
            self._take(":")
            name = self._name()
        arguments = self._object("(") if self._peek() == "(" else {}
        while self._peek() == "@":
            self._take("@")
            self._name()
            if self._peek() == "(":
                self._skip()
        fields = self._fields() if self._peek() == "{" else ()
        return Field(key, name, arguments, fields)

    def _object(self, opening: str) -> dict[str, Any]:
        self._take(opening)
        found: dict[str, Any] = {}
        while self._peek() != _CLOSING[opening]:
            name = self._name()
            self._take(":")
            found[name] = self._value()
        self._take(_CLOSING[opening])
        return found

    def _value(self) -> Any:
        match self._peek():
            case "$":
                self._take("$")
                return self._variables.get(self._name())
            case "{":
                return self._object("{")
            case "[":
                self._take("[")
                found = []
                while self._peek() != "]":
                    found.append(self._value())
                self._take("]")
                return found
        token = self._next()
        if token.startswith('"'):
            return _string(token)
        if re.match(r"-?\d", token):
            return _number(token)
        return _WORDS.get(token, token)  # any other word is of an enumeration

    def _name(self) -> str:
        token = self._next()
        if not re.fullmatch(r"[A-Za-z_]\w*", token):
            raise DocumentError(f"unexpected {token!r}")
        return token

    def _take(self, sign: str) -> None:
        token = self._next()
        if token != sign:
            raise DocumentError(f"{sign!r} expected, not {token!r}")

    def _skip(self) -> None:
        """Read over a token, with all to its closing bracket."""
        depth = 0
        while True:
            token = self._next()
            depth += (token in _CLOSING) - (token in _CLOSING.values())
            if depth <= 0:
                return

    def _peek(self) -> str:
        return self._tokens[self._at]

    def _next(self) -> str:
        token = self._tokens[self._at]
        self._at += 1
        return token


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise DocumentError(f"unexpected {text[at]!r}")
        if match.lastgroup:
            found.append(match[0])
        at = match.end()
    return found


def _number(token: str) -> int | float:
    try:
        found: int | float = json.loads(token)
    except ValueError as error:  # of thousands of digits
        raise DocumentError("a number has too many digits") from error
    if found in {float("inf"), float("-inf")}:
        raise DocumentError(f"{token} is too large a number")
    return found


def _string(token: str) -> str:
    if token.startswith('"""'):
        return token[3:-3].replace('\\"""', '"""')
    try:
        return str(json.loads(token))
    except ValueError as error:
        raise DocumentError(f"unexpected {token!r}") from error
