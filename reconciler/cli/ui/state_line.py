"""Show what is going on in a line on stderr that the next output replaces."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared

if TYPE_CHECKING:
    from reconciler.model.run import Run, RunInfo

_ERASE = "\r\x1b[K"
T = TypeVar("T")


class StateLine:
    """A line that is there until something else is said; nothing at all in a pipe.

    It has no end, so whatever is written to the terminal next must erase it first.
    """

    def __init__(self, *, is_shown: bool) -> None:
        self.is_shown = is_shown
        self._text = ""

    def show(self, text: str) -> None:
        """Put the text in the line's place."""
        if self.is_shown:
            from reconciler.render.style import cut

            self._text = cut(console.harmless(text), console.terminal_width(sys.stderr) - 1)
            click.echo(_ERASE + self._text, err=True, nl=False, color=True)

    def erase(self) -> None:
        """Take the line away."""
        if self._text:
            click.echo(_ERASE, err=True, nl=False, color=True)
            self._text = ""

    def first(self, tell: Callable[[T], None]) -> Callable[[T], None]:
        """Return the same function, which erases the line first."""

        def told(news: T) -> None:
            self.erase()
            tell(news)

        return told


def may_show_state(options: Shared) -> bool:
    """Return whether a line can be erased again, and stands alone."""
    is_dumb = os.environ.get("TERM") == "dumb"
    is_for_others = options.is_json or options.is_tracing or options.is_debugging
    return console.is_terminal(sys.stderr) and not (is_dumb or is_for_others or os.environ.get("CI"))


def show_end(run: "Run | RunInfo", options: Shared) -> None:
    """Show in one line how the run ended, and below it what to do, if anything."""
    from reconciler.render.runs import end_text

    color, width = console.is_coloured(options, sys.stderr), console.terminal_width(sys.stderr)
    console.say_safely(end_text(run, width=width, color=color, shows_whole_id=options.verbosity > 0))
