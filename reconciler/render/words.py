"""Mark which words of a long value change, such as of a command or a long text."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

# Spaces, a word in quotes, a bracket, or any other word: so of a list whole members change, of a text its words. No
# word is split at a comma or colon, and none loses its beginning: a known token would not be found in it, and be shown.
_WORD: Final = r'\s+|"[^"\\\s]*"|[][{}"]|[^][{}"\s]+'
_MOST_WORDS: Final = 500  # beyond it the comparison would take long
_SHOWN: Final = 120  # characters: of a longer value only the words around a change are shown
_LONGEST: Final = 4 * _SHOWN
_AROUND: Final = 40  # at most so many of them on each side


class Words(Struct, frozen=True):
    """Words that stay (None), or that an update takes away (-) or adds (+)."""

    text: str
    sign: str | None = None


def changed_words(before: str, after: str) -> tuple[Words, ...]:
    """Return the words of both values; none if they have too little in common.

    None either if too many places change. Then the two are read more easily one after the other.
    """
    old, new = re.findall(_WORD, before), re.findall(_WORD, after)
    if max(len(old), len(new)) > _MOST_WORDS:
        return ()
    found = list(_compared(old, new))
    kept = sum(_is_word(word) for one in found if one.sign is None for word in re.findall(_WORD, one.text))
    if 3 * kept < max(sum(map(_is_word, old)), sum(map(_is_word, new))) or not kept:
        return ()
    shown = tuple(_shortened(found))
    return shown if sum(len(one.text) for one in shown) <= _LONGEST else ()


def side_of(words: Sequence[Words], sign: str) -> str:
    """Return the value before (-) or after (+) the change."""
    return "".join(one.text for one in words if one.sign in {None, sign})


def _compared(old: list[str], new: list[str]) -> Iterator[Words]:
    from difflib import SequenceMatcher

    taken, added = "", ""
    for what, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        text = "".join(old[old_from:old_to])
        if what != "equal":
            taken, added = taken + text, added + "".join(new[new_from:new_to])
        elif text.isspace() and taken and added and old_to < len(old):
            taken, added = taken + text, added + text  # two words in a row that change are one change
        else:
            yield from _change(taken, added)
            taken, added = "", ""
            yield Words(text)
    yield from _change(taken, added)


def _change(taken: str, added: str) -> Iterator[Words]:
    if taken:
        yield Words(taken, "-")
    if added:
        yield Words(added, "+")


def _shortened(words: list[Words]) -> Iterator[Words]:
    """Yield the words, without the middle of long stretches that stay."""
    if sum(len(one.text) for one in words) <= _SHOWN:
        yield from words
        return
    for position, one in enumerate(words):
        is_inner = one.sign is not None
        text = _cut(one.text, has_head=is_inner or position > 0, has_tail=is_inner or position < len(words) - 1)
        yield Words(text, one.sign)


def _cut(text: str, *, has_head: bool, has_tail: bool) -> str:
    """Return the text without its middle, if it is long.

    Whole words are left, or the beginning of one.
    """
    if len(text) <= _AROUND * (has_head + has_tail) + 1:
        return text
    head = text[: text.rfind(" ", 0, _AROUND) + 1] or text[:_AROUND] if has_head else ""
    at = text.find(" ", len(text) - _AROUND)
    return f"{head}…{text[at:] if has_tail and at >= 0 else ''}"


def _is_word(text: str) -> bool:
    return any(character.isalnum() for character in text)
