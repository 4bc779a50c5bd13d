"""Fit colours, symbols and lines to a terminal."""

import re
from typing import Final

FORMAT_VERSION: Final = "1.0"

SYMBOL_OF_FOREIGN: Final = "!"
_COLOURS: Final = {
    "+": "32",
    "~": "33",
    "+~": "33",
    "-/+": "35",
    "-": "31",
    ">": "36",
    "=": "34",
    "!": "33",
    "error": "31;1",
    "head": "1",
    "-word": "31;9",  # struck through
    "+word": "32;4",  # underlined
}
_NARROWEST: Final = 20
_PAINT: Final = r"\x1b\[[0-9;]*m"


def paint(text: str, symbol: str, *, color: bool) -> str:
    """Return the text in the symbol's colour; the symbol alone has the meaning too."""
    code = _COLOURS.get(symbol)
    return f"\x1b[{code}m{text}\x1b[0m" if color and code else text


def painted(lines: list[str], symbol: str, color: bool) -> list[str]:
    """Return the lines in the symbol's colour."""
    return [paint(line, symbol, color=color) for line in lines]


def paint_words(text: str, symbol: str) -> str:
    """Return the text with each of its words in colour, so that it can be wrapped."""
    return re.sub(r"\S+", lambda word: paint(word[0], symbol, color=True), text)


def wrapped(text: str, width: int | None, *, indent: int = 0, hanging: int = 4) -> list[str]:
    """Wrap the text at `width` columns, further lines indented.

    With None, which is no terminal, it stays one line that other programs can search.
    """
    if width is None:
        return [" " * indent + text]
    if not text.isascii() or "\x1b" in text:
        return _wrapped_by_columns(text, max(width, _NARROWEST), indent, hanging)
    import textwrap

    return textwrap.wrap(
        text,
        max(width, _NARROWEST),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )


def columns(text: str) -> int:
    """Return how many columns of a terminal the text takes.

    Letters of East Asia take two, accents and colours none.
    """
    text = re.sub(_PAINT, "", text) if "\x1b" in text else text
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def cut(text: str, width: int) -> str:
    """Return the text in at most so many columns, with its middle left out."""
    if columns(text) <= width:
        return text
    text = re.sub(_PAINT, "", text)
    head, tail = "", ""
    while columns(head) + columns(tail) < width - 1 and len(head) + len(tail) < len(text):
        if len(head) <= len(tail):
            head += text[len(head)]
        else:
            tail = text[-len(tail) - 1] + tail
    while columns(head) + columns(tail) > width - 1:
        head = head[:-1]
    return f"{head}…{tail}"


def _wrapped_by_columns(text: str, width: int, indent: int, hanging: int) -> list[str]:
    """Wrap text whose letters are not all as wide as each other."""
    lines: list[str] = []
    line, used = " " * indent, indent
    is_begun = False
    for word in text.split(" "):
        wide = columns(word)
        if is_begun and used + 1 + wide > width:
            lines.append(line.rstrip())
            line, used, is_begun = " " * (indent + hanging), indent + hanging, False
        line += f" {word}" if is_begun else word
        used += wide + is_begun
        is_begun = True
    return [*lines, line.rstrip()]
