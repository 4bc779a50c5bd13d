"""Write pieces of Markdown that GitHub and GitLab render alike.

Foreign text stands in code, where neither Markdown nor HTML nor a mention nor a link means anything.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from reconciler.render.redact import clean

_LINE: Final = 2_000  # characters: the names of slots may be long
# As entities these are no Markdown; a colon is no emoji and no address either.
_ENTITIES: Final = str.maketrans({one: f"&#{ord(one)};" for one in "`|*_[]@#~:$\\"})


def code(text: str) -> str:
    """Return a span of code that no text can break out of, in tables too."""
    cleaned = clean(text)
    return html_code(text) if "`" in cleaned or "|" in cleaned else f"`{cleaned or ' '}`"


def html_code(text: str) -> str:
    """Return the same as HTML, for where no Markdown is read."""
    return f"<code>{escape(clean(text)).translate(_ENTITIES)}</code>"


def folded(title: str, body: Iterable[str]) -> str:
    """Return Markdown that is shown on a click. The title is HTML."""
    return "\n".join([f"<details><summary>{title}</summary>", "", *body, "</details>", ""])


def removed(lines: Sequence[str]) -> list[str]:
    """Return a block of lines in red: both sites colour those of a diff so."""
    return ["```diff", *(f"- {clean(line, _LINE)}" for line in lines), "```", ""] if lines else []


def pre(lines: Iterable[str]) -> str:
    """Return foreign lines as they are, in one block of HTML."""
    return f"<pre>{escape(chr(10).join(lines)).translate(_ENTITIES)}</pre>"


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
