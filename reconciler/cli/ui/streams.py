"""The command's stdout and stderr: conceal known tokens, notice failed writes.

A write that fails ends the command. If the work of a verb is worth more than its output, it goes on without output
(`Output.outlasted`). In both cases the command fails, and says why once, at its end (`cli/main.py`).
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

import click

from reconciler.model.concealment import Concealment, known_tokens

if TYPE_CHECKING:
    from reconciler.model.secret import Secret

_NOBODY_READS: Final = (BrokenPipeError, ConnectionResetError)


class OutputError(BaseException):
    """The output could not be written. Whoever ends the command says why.

    It is no `Exception`: code that waits until errors of the platform pass must not catch it.
    """


class Output:
    """What the running command writes to. `failure` is of its first failed write.

    `result` says what became of the command's work, for a user who did not see the output.
    """

    def __init__(self) -> None:
        self.known: Concealment = Concealment(known_tokens(os.environ))
        self.failure: OSError | None = None
        self.result: str = ""
        self.has_document: bool = False  # JSON was printed, so an error prints none
        self.is_short: bool = False  # a file beside the output could not be written, which was told
        self._on_failure: Callable[[], None] = _raise

    def fail(self, error: OSError) -> None:
        """Keep the first failure, then end the work or let it go on.

        Raises OutputError if the work is to end.
        """
        self.failure = self.failure or error
        self._on_failure()

    @contextmanager
    def outlasted(self, on_failure: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Let a write that fails call `on_failure` during the block, and go on."""
        before, self._on_failure = self._on_failure, on_failure
        try:
            yield
        finally:
            self._on_failure = before

    def why_incomplete(self) -> str | None:
        """Return what to say about the failure; None if nobody reads the output."""
        if self.failure is None or isinstance(self.failure, _NOBODY_READS):
            return None
        reason = self.failure.strerror or str(self.failure)
        return f"output incomplete: {reason}" + (f"; {self.result}" if self.result else "")


class _Stream:
    """A text stream. It has no `buffer`, so that nothing is written past it."""

    def __init__(self, behind: "TextIO | _Stream") -> None:
        self.behind = behind

    def write(self, text: str) -> int:
        return self.behind.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.behind, name)


class _FailingStream(_Stream):
    """A stream that reports failed writes to the output.

    After its first failure it writes nothing more.
    """

    def __init__(self, behind: TextIO, output: Output) -> None:
        super().__init__(behind)
        self._output = output
        self._failure: OSError | None = None

    def write(self, text: str) -> int:
        self._try(lambda: self._write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self.behind.flush)

    def _try(self, write: Callable[[], object]) -> None:
        if self._failure is None:
            try:
                write()
                return
            except OSError as error:
                self._failure = error
                self._discard()
        self._output.fail(self._failure)  # at each write: someone else's code may have caught the error before

    def _write(self, text: str) -> None:
        """Write the text, with escapes for characters that the encoding lacks."""
        try:
            self.behind.write(text)
        except UnicodeEncodeError:
            encoding = self.behind.encoding
            self.behind.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def _discard(self) -> None:
        """Send what is still buffered to the null device.

        Otherwise the interpreter would write it at its exit, fail, and end with 120.
        """
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.behind.fileno())
            os.close(nowhere)


class _ConcealingStream(_Stream):
    """Conceals what it is given."""

    def __init__(self, behind: _Stream, known: Concealment) -> None:
        super().__init__(behind)
        self._known = known

    def write(self, text: str) -> int:
        return self.behind.write(self._known.conceal(text))


@contextmanager
def open_output() -> Iterator[Output]:
    """Let stdout and stderr conceal known tokens during the block."""
    output = Output()
    with redirect_stdout(_concealing(sys.stdout, output)), redirect_stderr(_concealing(sys.stderr, output)):
        yield output


def current() -> Output:
    """Return what the running command writes to."""
    context = click.get_current_context(silent=True)
    return (context.find_object(Output) if context else None) or Output()


def learn(token: "Secret | None") -> None:
    """Conceal a token that was found elsewhere than in the environment."""
    if token:
        current().known.add(token.reveal())


def flush() -> None:
    """Write what is buffered. Raises OutputError."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def as_it_is(stream: "TextIO | _ConcealingStream | None") -> TextIO | None:
    """Return the stream without its concealing, for a task's own output."""
    return cast(TextIO, stream.behind) if isinstance(stream, _ConcealingStream) else stream


def innermost(stream: "TextIO | _Stream | None") -> TextIO | None:
    """Return the stream without what conceals and what notices failures."""
    while isinstance(stream, _Stream):
        stream = stream.behind
    return stream


def _concealing(stream: TextIO | None, output: Output) -> TextIO:
    """Return a stream that conceals; None if it was closed before we were started."""
    if stream is None:
        return cast(TextIO, None)
    return cast(TextIO, _ConcealingStream(_FailingStream(stream, output), output.known))


def _raise() -> None:
    raise OutputError
