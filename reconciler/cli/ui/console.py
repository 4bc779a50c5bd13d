"""Speak to the terminal: data on stdout, progress and questions on stderr."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

from reconciler.cli.ui.given import NO_INPUT
from reconciler.cli.ui.options import Shared

if TYPE_CHECKING:
    from socket import socket

_DEFAULT_WIDTH = 80  # of a terminal that does not tell
_PIECES_AT_ONCE = 100
_NOT_FORCED = frozenset({"", "0", "false"})
_LONGEST_ANSWER = 4096
"""Bytes: what a terminal hands over as one line."""


def is_coloured(shared: Shared, stream: TextIO | None = None) -> bool:
    """Return whether the stream, stdout by default, takes colours: a terminal does.

    --no-color counts first, then NO_COLOR, then FORCE_COLOR.
    """
    environment = os.environ
    if shared.is_plain or environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR", "").lower() not in _NOT_FORCED:
        return True
    return environment.get("TERM") != "dumb" and is_terminal(stream or sys.stdout)


def line_width() -> int | None:
    """Return the columns at which lines are wrapped; None in a pipe: not at all."""
    return terminal_width(sys.stdout) if is_terminal(sys.stdout) else None


def error_width() -> int | None:
    """Return the columns at which errors are wrapped; None without a terminal."""
    return terminal_width(sys.stderr) if is_terminal(sys.stderr) else None


def terminal_width(stream: TextIO) -> int:
    """Return how many columns the terminal of this stream has; COLUMNS comes first.

    The other stream may be a pipe, which has none.
    """
    asked = os.environ.get("COLUMNS", "")
    if asked.isascii() and asked.isdigit() and int(asked):
        return int(asked)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_WIDTH
    except (OSError, ValueError):  # ValueError: it was closed
        return _DEFAULT_WIDTH


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether the stream is a terminal; one that was closed before is None."""
    return stream is not None and stream.isatty()


def new_salt() -> str:
    """Return a salt for the digests of masked values in one output.

    So the digests of two outputs cannot be compared.
    """
    return os.urandom(8).hex()


def print_json(value: Mapping[str, Any]) -> None:
    """Print a document of one of schemas/, under its version.

    What a terminal or a pipeline would act upon is escaped.
    """
    from reconciler.cli.ui.streams import current
    from reconciler.render.json import json_pieces
    from reconciler.render.style import FORMAT_VERSION

    current().has_document = True
    block: list[str] = []
    for piece in json_pieces({"format_version": FORMAT_VERSION} | dict(value)):
        block.append(piece)
        if len(block) >= _PIECES_AT_ONCE:
            click.echo("".join(block), nl=False)
            block.clear()
    click.echo("".join(block))


def print_text(text: str, *, is_safe: bool = False) -> None:
    """Print text on stdout. The renderer has made its own `is_safe`, with colours."""
    if is_safe:
        click.echo(text, color=True)  # click would take the colours out in a pipe
    else:
        click.echo(harmless(text))


def print_lines(*lines: str) -> None:
    """Print lines on stdout; on a terminal they are wrapped where it ends."""
    from reconciler.render.style import wrapped

    width = line_width()
    for line in lines:
        print_text("\n".join(wrapped(line, width, hanging=2)))


def say(line: str) -> None:
    """Print progress or a warning on stderr."""
    click.echo(harmless(line), err=True)


def say_safely(text: str) -> None:
    """Print on stderr what the renderer has made safe, with colours."""
    click.echo(text, err=True, color=True)


def harmless(text: str) -> str:
    """Return the text without what a terminal or a pipeline would act upon.

    It may contain foreign words. Lines are kept.
    """
    from reconciler.render.redact import defused, printable

    return "\n".join(defused(printable(line)) for line in text.split("\n"))


def check_values_may_be_shown(shared: Shared) -> None:
    """Check that --show-values writes to a terminal.

    Raises a usage error if the values would end up in a file, a pipe or a log.
    """
    if shared.output != "text" or not is_terminal(sys.stdout) or os.environ.get("CI"):
        raise click.UsageError("--show-values is for text on a terminal: nothing else may hold the values")


def is_interactive() -> bool:
    """Return whether there is someone to ask."""
    return not _may_not_ask() and is_terminal(sys.stdin) and is_terminal(sys.stderr) and not os.environ.get("CI")


def _may_not_ask() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and NO_INPUT in context.meta


def require_interactive(*, refusal: str) -> None:
    """Raise UsageError if there is nobody to ask; `refusal` says what to do about it."""
    if not is_interactive():
        from reconciler.errors import UsageError

        why = "--no-input forbids asking" if _may_not_ask() else "there is no terminal to ask on"
        raise UsageError(why, hint=refusal)


def ask_typed(question: str, expected: str, *, refusal: str) -> bool:
    """Ask, and return whether exactly the expected text was typed.

    Raises UsageError if there is nobody to ask.
    """
    return ask(question, refusal=refusal).strip() == expected


def ask(question: str, *, refusal: str) -> str:
    """Ask, and return what was typed.

    What is said next stands on a line of its own. Raises UsageError if there is nobody to ask; `refusal` says what to
    do about it.
    """
    require_interactive(refusal=refusal)
    with _interrupts() as interrupts:
        line = ""
        try:
            click.echo(f"{_fitted(harmless(question))} ", err=True, nl=False)
            line = _read_line(interrupts)
        finally:
            if not line.endswith("\n"):  # Ctrl-C, or the end of the input
                click.echo(err=True)
        return line


def _fitted(text: str) -> str:
    """Return lines as wide as the terminal that stderr is."""
    from reconciler.render.style import wrapped

    width = terminal_width(sys.stderr) - 1
    return "\n".join(part for line in text.split("\n") for part in wrapped(line, width, hanging=2))


def _read_line(interrupts: "socket") -> str:
    """Return the next line of stdin, without the end of it at the end of the input.

    Raises Abort as soon as `interrupts` has a byte. `readline` would not do: a signal that arrives just before it
    blocks is handled after the answer only.
    """
    from select import select

    line = b""
    while not line.endswith(b"\n"):
        if interrupts in select([sys.stdin, interrupts], [], [])[0]:
            raise click.Abort
        piece = os.read(sys.stdin.fileno(), _LONGEST_ANSWER)
        if not piece:
            break
        line += piece
    return line.decode("utf-8", "replace")


@contextmanager
def _interrupts() -> Iterator["socket"]:
    """Let Ctrl-C raise Abort while a question is open.

    Yield a socket that gets a byte when a signal arrives. The event loop would see the signal only after the answer,
    and show a KeyboardInterrupt with a traceback.
    """
    import signal
    from socket import socketpair

    from reconciler.cli.ui.signals import interrupting

    def interrupt(_number: int, _frame: object) -> None:
        raise click.Abort

    heard, told = socketpair()
    with heard, told:
        told.setblocking(False)
        loops_fd = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, interrupt) for number in interrupting()}
        try:
            yield heard
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(loops_fd)
