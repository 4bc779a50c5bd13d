"""Lay cells out in columns that fit a terminal.

The last column is wrapped below itself, or below the whole line. If that is not enough, the less important columns are
left out, then the longest cells are cut. The columns always stand below each other.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from reconciler.render.style import columns as width_of
from reconciler.render.style import cut, paint, wrapped

_GAP: Final = "  "
_LEAST_LAST: Final = 16  # columns of the last column; with less room it is wrapped below the whole line
_LEAST_NAME: Final = 14  # columns that are left of the first one, whose cells are cut before others
_LEAST: Final = 8  # columns that are left of any


class Column(Struct, frozen=True):
    """A column; the highest `rank` is dropped first, 0 never."""

    heading: str
    rank: int = 0


class Line(Struct, frozen=True):
    """Cells in the order of the columns, and the symbol whose colour they have."""

    cells: tuple[str, ...]
    symbol: str = ""


def table(columns: Sequence[Column], lines: Sequence[Line], *, width: int | None, color: bool = False) -> list[str]:
    """Return a line of headings, then the others.

    Columns without any cell are left out. Without a `width`, which is no terminal, nothing is wrapped, cut or left out:
    other programs can search the lines.
    """
    width = sys.maxsize if width is None else width
    kept = [position for position in range(len(columns)) if any(line.cells[position] for line in lines)]
    heads = Line(tuple(column.heading for column in columns))
    while (widths := _widest(kept, heads, lines)) and _least(widths, columns[kept[-1]]) > width:
        worst = max(kept, key=lambda position: columns[position].rank)
        if not columns[worst].rank:
            break
        kept.remove(worst)
    widths = _fitted(widths, width)
    return [
        paint(text, line.symbol, color=color)
        for line in (heads, *lines)
        for text in _laid_out([line.cells[position] for position in kept], widths, width)
    ]


def _widest(kept: Sequence[int], heads: Line, lines: Sequence[Line]) -> list[int]:
    return [max(width_of(line.cells[position]) for line in (heads, *lines)) for position in kept]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _least(widths: Sequence[int], last: Column) -> int:
    """Return the width that the columns take at least.

    A last one without a heading can stand below the line.
    """
    return _total([*widths[:-1], min(_LEAST_LAST, widths[-1])] if last.heading else widths[:-1])


def _fitted(widths: list[int], width: int) -> list[int]:
    """Return the widths of all columns; 0 for a last one that stands below the line."""
    over = _total(widths) - width
    if over <= 0 or not widths:
        return widths
    *firsts, last = widths
    if not firsts:
        return [width]
    if last - over >= min(_LEAST_LAST, last):
        return [*firsts, last - over]
    over = _total(firsts) - width
    firsts[0] -= max(0, min(over, firsts[0] - _LEAST_NAME))
    while _total(firsts) > width and max(firsts) > _LEAST:
        firsts[firsts.index(max(firsts))] -= 1
    return [*firsts, 0]


def _laid_out(cells: list[str], widths: list[int], width: int) -> Iterator[str]:
    if not widths:
        return
    *firsts, last = cells
    head = _GAP.join(_padded(cut(cell, room), room) for cell, room in zip(firsts, widths, strict=False))
    if not widths[-1]:
        yield head.rstrip()
        if last:
            yield from wrapped(last, width, indent=2, hanging=0)
        return
    start = width_of(head) + len(_GAP) if firsts else 0
    first, *more = _broken(last, widths[-1]) or [""]
    yield (f"{head}{_GAP}{first}" if firsts else first).rstrip()
    yield from (" " * start + text for text in more)


def _broken(text: str, room: int) -> list[str]:
    """Break the text at spaces into lines of `room` columns; longer words are cut."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and width_of(lines[-1]) + 1 + width_of(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(cut(word, room))
    return lines


def _padded(text: str, room: int) -> str:
    return text + " " * (room - width_of(text))
