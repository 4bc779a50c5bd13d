"""Fit colours, symbols and lines to a terminal."""

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
}
_NARROWEST: Final = 40


def paint(text: str, symbol: str, *, color: bool) -> str:
    """Return the text in the symbol's colour; the symbol alone has the meaning too."""
    code = _COLOURS.get(symbol)
    return f"\x1b[{code}m{text}\x1b[0m" if color and code else text


def wrapped(text: str, width: int | None, *, indent: int = 0, hanging: int = 4) -> list[str]:
    """Wrap the text at `width` columns, further lines indented.

    With None, which is no terminal, it stays one line that other programs can search.
    """
    if width is None:
        return [" " * indent + text]
    import textwrap

    return textwrap.wrap(
        text,
        max(width, _NARROWEST),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
