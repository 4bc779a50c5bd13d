"""Write pieces of Markdown that GitHub and GitLab render alike.

Foreign text stands in code, where neither Markdown nor HTML nor a mention nor a link means anything.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from reconciler.render.redact import clean

_LINE: Final = 2_000  # characters: the names of slots may be long
_NOTES: Final = 3_000  # characters of all notes of one kind
_POOLS: Final = 5_000  # characters of a table of pools
_TICKS: Final = "`+"


def code(text: str) -> str:
    """Return a span of code that no text can break out of.

    The text itself is left as it is, so that a secret in it is still found and concealed.
    """
    cleaned = clean(text) or " "
    fence = "`" * (max(map(len, re.findall(_TICKS, cleaned)), default=0) + 1)
    pad = " " if cleaned.startswith("`") or cleaned.endswith("`") else ""
    return f"{fence}{pad}{cleaned}{pad}{fence}"


def cell(text: str) -> str:
    """Return the same for a cell of a table.

    There a bar in code would begin the next cell.
    """
    return code(text).replace("|", "\\|")


def html_code(text: str) -> str:
    """Return the same as HTML, for where no Markdown is read."""
    return f"<code>{escape(clean(text))}</code>"


def folded(title: str, body: Iterable[str]) -> str:
    """Return Markdown that is shown on a click. The title is HTML."""
    return "\n".join([f"<details><summary>{title}</summary>", "", *body, "</details>", ""])


def red(lines: Iterable[str]) -> list[str]:
    """Return a block of red lines: both sites show lines that a diff takes away so."""
    marked = [f"- {clean(line, _LINE)}" for line in lines]
    return ["```diff", *marked, "```", ""] if marked else []


def notes(word: str, texts: Iterable[str]) -> list[str]:
    """Return a quote for each text as far as there is room.

    The others are counted.
    """
    kept, left_out = fitting((f"> **{word}:** {code(text)}\n" for text in texts), _NOTES)
    return kept + ([f"> … and {len(left_out)} more\n"] if left_out else [])


def pre(lines: Iterable[str]) -> str:
    """Return foreign lines as they are, in one block of HTML."""
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def pool_table(columns: Sequence[str], rows: Iterable[tuple[str, str, Iterable[int]]]) -> list[str]:
    """Return a table with a line for each pool: its name, its app, and its counts.

    Pools for which there is no room are counted.
    """
    lines = (
        f"| {cell(pool)} | {cell(app)} | {' | '.join(str(count or '') for count in counts)} |"
        for pool, app, counts in rows
    )
    kept, left_out = fitting(lines, _POOLS)
    table = [f"| pool | app | {' | '.join(columns)} |", f"|---|---|{'--:|' * len(columns)}", *kept]
    return [*table, *([f"\n… and {len(left_out)} more pools"] if left_out else []), ""]


def fitting(blocks: Iterable[str], room: int) -> tuple[list[str], list[int]]:
    """Return the whole blocks that there is room for, in their order.

    The second value is the positions of those left out. A block that is short may still fit after a long one.
    """
    kept: list[str] = []
    left_out: list[int] = []
    for position, block in enumerate(blocks):
        if len(block) + 1 > room:
            left_out.append(position)
            continue
        room -= len(block) + 1
        kept.append(block)
    return kept, left_out
