"""Known tokens are concealed in all that the command writes, whatever way they came into it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from reconciler.model.concealment import Concealment
from reconciler.model.tokens import known_tokens

if TYPE_CHECKING:
    from reconciler.model.secret import Secret


class _ConcealingStream:
    """A text stream that conceals what it is given. It has no `buffer`, so that nothing is written past it."""

    def __init__(self, stream: TextIO, known: Concealment) -> None:
        self.behind = stream
        self._known = known

    def write(self, text: str) -> int:
        return self.behind.write(self._known.conceal(text))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.behind, name)


@contextmanager
def concealed_output() -> Iterator[Concealment]:
    """For the block, nothing that is written to stdout or stderr shows a token of the environment."""
    known = Concealment(known_tokens(os.environ))
    with redirect_stdout(_concealing(sys.stdout, known)), redirect_stderr(_concealing(sys.stderr, known)):
        yield known


def current() -> Concealment:
    """What the running command conceals."""
    context = click.get_current_context(silent=True)
    found = context.find_object(Concealment) if context else None
    return found or Concealment(known_tokens(os.environ))


def learn(token: "Secret | None") -> None:
    """Conceals a token that was found elsewhere than in the environment."""
    if token:
        current().add(token.reveal())


def as_it_is(stream: TextIO | None) -> TextIO | None:
    """The stream itself: a task's own output is shown as it is."""
    return stream.behind if isinstance(stream, _ConcealingStream) else stream


def _concealing(stream: TextIO | None, known: Concealment) -> TextIO:
    """A stream that was closed before we were started is None, and stays so."""
    return cast(TextIO, _ConcealingStream(stream, known) if stream is not None else None)
