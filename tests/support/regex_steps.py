"""How many steps a backtracking regular expression takes on a text, counted instead of timed.

Reads the parsed pattern and does as Python's engine does, without its shortcuts: one step for each character that is
looked at, and for each that is given back.
"""

import ast
import inspect
import re
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterator
from itertools import islice
from types import ModuleType
from typing import Any

_MANY = 10**9


class Steps:
    """Counts the steps of one pattern over one text."""

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self._tree = list(parser.parse(pattern.pattern, pattern.flags))
        self._ignores_case = bool(pattern.flags & re.IGNORECASE)
        self._text = text
        self.count = 0

    def match(self, start: int = 0) -> int | None:
        """Where a match from here ends."""
        self.count += 1
        return next(self._ends(self._tree, 0, start), None)

    def scan(self) -> int:
        """The steps of finding every match, one after the other."""
        at = 0
        while at <= len(self._text):
            end = self.match(at)
            at = max(end or 0, at + 1)
        return self.count

    def _ends(self, items: list[Any], at: int, place: int) -> Iterator[int]:
        if at == len(items):
            yield place
            return
        kind, value = items[at]
        for middle in self._item(kind, value, place):
            yield from self._ends(items, at + 1, middle)

    def _item(self, kind: Any, value: Any, place: int) -> Iterator[int]:
        if kind in {op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN}:
            self.count += 1
            if place < len(self._text) and self._fits(kind, value, self._text[place]):
                yield place + 1
        elif kind in {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}:
            least, most, items = value
            found = self._repeated(list(items), int(least), min(int(most), _MANY), place, lazy=kind is op.MIN_REPEAT)
            yield from islice(found, 1) if kind is op.POSSESSIVE_REPEAT else found
        elif kind is op.SUBPATTERN:
            yield from self._ends(list(value[-1]), 0, place)
        elif kind is op.ATOMIC_GROUP:
            yield from islice(self._ends(list(value), 0, place), 1)
        elif kind is op.BRANCH:
            for branch in value[1]:
                yield from self._ends(list(branch), 0, place)
        elif kind in {op.ASSERT, op.ASSERT_NOT}:
            direction, items = value
            start = place if direction > 0 else place - items.getwidth()[0]
            holds = start >= 0 and next(self._ends(list(items), 0, start), None) is not None
            if holds is (kind is op.ASSERT):
                yield place
        elif kind is op.AT:
            self.count += 1
            is_start = value in {op.AT_BEGINNING, op.AT_BEGINNING_STRING}
            if place == (0 if is_start else len(self._text)):
                yield place
        else:
            raise NotImplementedError(str(kind))

    def _repeated(self, items: list[Any], least: int, most: int, place: int, *, lazy: bool) -> Iterator[int]:
        ends = [(place, self._ends(items, 0, place))]
        if lazy and not least:
            yield place
        while ends:  # a stack of its own: a long text would be too deep for Python's
            at, more = ends[-1]
            next_end = next(more, None) if len(ends) <= most else None
            if next_end is not None and next_end != at:
                ends.append((next_end, self._ends(items, 0, next_end)))
                if lazy and len(ends) > least:
                    yield next_end
                continue
            ends.pop()
            self.count += 1
            if not lazy and len(ends) >= least:
                yield at

    def _fits(self, kind: Any, value: Any, character: str) -> bool:
        if kind is op.ANY:
            return character != "\n"
        forms = {character, character.lower(), character.upper()} if self._ignores_case else {character}
        if kind is op.LITERAL:
            return value in map(ord, forms)
        if kind is op.NOT_LITERAL:
            return value not in map(ord, forms)
        is_negated = value[0] == (op.NEGATE, None)
        return any(_in_class(value, ord(form)) for form in forms) is not is_negated


def samples(pattern: re.Pattern[str]) -> set[str]:
    """Texts that begin as a match does, whole and cut off, and each of their characters: repeated, what is hostile."""
    whole = _sample(parser.parse(pattern.pattern, pattern.flags))
    return {whole[:length] for length in range(1, len(whole) + 1)} | set(whole) | {whole[1:], " ", "a", "-", "0"} - {""}


def _sample(items: Any) -> str:
    text = ""
    for kind, value in items:
        if kind is op.LITERAL:
            text += chr(value)
        elif kind in {op.NOT_LITERAL, op.ANY, op.IN}:
            text += _one_of(kind, value)
        elif kind in {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}:
            text += _sample(value[2]) * max(1, min(int(value[0]), 3))
        elif kind is op.SUBPATTERN:
            text += _sample(value[-1])
        elif kind is op.ATOMIC_GROUP:
            text += _sample(value)
        elif kind is op.BRANCH:
            text += _sample(value[1][-1])
        elif kind is op.ASSERT and value[0] > 0:
            text += _sample(value[1])
    return text


def _one_of(kind: Any, value: Any) -> str:
    if kind is not op.IN:
        return "a"
    for character in 'a0-A/+= \t<>"':
        if _in_class(value, ord(character)) is not (value[0] == (op.NEGATE, None)):
            return character
    return "\u200b"


def _in_class(members: Any, code: int) -> bool:
    for kind, value in members:
        if kind is op.LITERAL and code == value:
            return True
        if kind is op.RANGE and value[0] <= code <= value[1]:
            return True
        if kind is op.CATEGORY and re.match(_CATEGORIES[value], chr(code)):
            return True
    return False


_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}


def compiled_where_used(module: ModuleType) -> Iterator[tuple[str, re.Pattern[str]]]:
    """The module's texts that it gives to a function of `re`, by name, as patterns with the flags given there."""
    for call in ast.walk(ast.parse(inspect.getsource(module))) if "re" in vars(module) else ():
        match call:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=function), args=[ast.Name(id=name), *_]):
                text, signature = vars(module).get(name), inspect.signature(getattr(re, function))
                if isinstance(text, str) and "flags" in signature.parameters:
                    words = {str(one.arg): one.value for one in call.keywords}
                    flags = signature.bind(*call.args, **words).arguments.get("flags")
                    yield name, re.compile(text, eval(ast.unparse(flags), {"re": re}) if flags else 0)
