"""A table fits its terminal, whatever is in its cells, and its columns stand below each other."""

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.render.style import columns, cut
from reconciler.render.table import Column, Line, table

WORDS = st.lists(st.text("ab-é輸ü", min_size=1, max_size=6), max_size=9).map(" ".join)
NAMES = st.text("abc-é輸", min_size=1, max_size=63)
LINES = st.lists(st.tuples(NAMES, WORDS, WORDS, WORDS).map(Line), min_size=1, max_size=6)
HEADS = [Column("NAME"), Column("STATE"), Column("SINCE", 2), Column("")]


@settings(max_examples=60)
@given(LINES, st.integers(50, 120))
def test_no_line_is_wider_than_the_terminal(lines: list[Line], width: int) -> None:
    shown = table(HEADS, lines, width=width)
    assert max(map(columns, shown)) <= width
    assert not any(text.endswith(" ") for text in shown)


@settings(max_examples=60)
@given(LINES, st.integers(50, 120))
def test_columns_stand_below_each_other(lines: list[Line], width: int) -> None:
    marked = [Line((line.cells[0], f"|{line.cells[1]}", *line.cells[2:])) for line in lines]
    shown = table([Column("NAME"), Column("|STATE"), *HEADS[2:]], marked, width=width)
    starts = {columns(text.partition("|")[0]) for text in shown if "|" in text}
    assert len(starts) == 1


@given(LINES)
def test_a_pipe_has_every_cell_whole(lines: list[Line]) -> None:
    shown = table(HEADS, lines, width=None)
    assert len(shown) == len(lines) + 1
    assert all(cell in text for line, text in zip(lines, shown[1:], strict=True) for cell in line.cells)


@given(NAMES, st.integers(4, 70))
def test_what_is_cut_keeps_its_ends(text: str, width: int) -> None:
    short = cut(text, width)
    assert columns(short) <= width
    assert short == text if columns(text) <= width else (short[0] == text[0] and "…" in short)
