"""Read the blocks of a page of docs/, in its order.

A block with `title="FILE"` is that file. A block of `console` is a session: lines that begin with `$ ` are commands,
and below each stands what it shows. A block behind `<!-- of others: fly, docker -->` is for other people's tools; one
behind `<!-- run by tests/… -->` is run by that test.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
OF_COMMANDS: Final = ("console", "sh", "bash", "shell")
_BLOCK: Final = re.compile(
    r"(?:^<!-- (?P<mark>of others|run by)[: ] ?(?P<names>.+?) -->\n\n?)?"
    r"^```(?P<language>[\w-]*)(?: title=\"(?P<file>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of code. `others` are the tools of other people that it is for, `run_by` the test that runs it."""

    language: str
    text: str
    file: str | None = None
    others: tuple[str, ...] = ()
    run_by: str | None = None

    @property
    def is_session(self) -> bool:
        """Return whether the block is to be run as it stands."""
        return self.language == "console" and not self.others and not self.run_by

    @property
    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each command of a session and the lines below it; a line that ends with a backslash goes on."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, *shown = part.replace("\\\n> ", "").rstrip("\n").split("\n")
            yield command, shown


def blocks_of(page: Path) -> list[Block]:
    """Return the page's blocks of code."""
    return [_block(found) for found in _BLOCK.finditer(page.read_text("utf-8"))]


def pages() -> list[Path]:
    """Return all pages."""
    return sorted(DOCS.glob("**/*.md"))


def named(page: Path) -> str:
    """Return the page's name below docs/."""
    return str(page.relative_to(DOCS))


def _block(found: re.Match[str]) -> Block:
    names = tuple((found["names"] or "").split(", "))
    return Block(
        language=found["language"],
        text=found["text"],
        file=found["file"],
        others=names if found["mark"] == "of others" else (),
        run_by=names[0] if found["mark"] == "run by" else None,
    )
