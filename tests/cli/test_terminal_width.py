"""How wide a line may be is asked of the terminal that the line goes to."""

import fcntl
import io
import os
import pty
import struct
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from reconciler.cli.ui import console


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """A terminal of 50 columns, which is not the one of this process."""
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
    with os.fdopen(theirs, "w") as stream:
        yield stream
    os.close(ours)


def test_stderr_is_asked_while_stdout_is_a_pipe(terminal: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setattr("sys.stderr", terminal)
    assert (console.line_width(), console.error_width()) == (None, 50)


def test_stdout_is_asked_while_stderr_is_a_pipe(terminal: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert (console.line_width(), console.error_width()) == (50, None)


@pytest.mark.parametrize(("columns", "width"), [("132", 132), ("0", 50), ("wide", 50), ("", 50)])
def test_the_variable_comes_first(terminal: TextIO, monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert console.terminal_width(terminal) == width


def test_a_terminal_that_does_not_tell_has_eighty_columns(terminal: TextIO) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    assert console.terminal_width(terminal) == 80
    assert console.terminal_width(io.StringIO()) == 80
