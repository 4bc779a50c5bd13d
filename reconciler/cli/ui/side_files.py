"""Write files beside a verb's text: events as they happen, and its JSON document.

Each is for its owner alone. What is written goes through a thread, so that a reader who is slow, or a full disk, never
stops the work of the verb: it is told in one line, and the verb ends with an error.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import partial
from io import UnsupportedOperation
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.ui import console, streams
from reconciler.cli.ui.options import Shared

if TYPE_CHECKING:
    from reconciler.model.apply_event import ApplyEvent
    from reconciler.model.report import Report
    from reconciler.model.spec import Spec
    from reconciler.operations.apply_events import ApplyEvents

_EVENTS: Final = "--events"
_DOCUMENT: Final = "--json-into"
_STDOUT: Final = "-"
_PATIENCE_S: Final = 10.0  # with a reader who does not read, at the end


class SideFile:
    """A file that is written as the verb goes on."""

    def __init__(self, what: str, write: Callable[[bytes], None], close: Callable[[], None]) -> None:
        self._what = what
        self._write = write
        self._close = close
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._failure: str | None = None
        self._is_told = False
        self._thread = Thread(target=self._write_all, name=what, daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Write a text and its line's end, without known tokens. Raises nothing."""
        self._queue.put(f"{streams.current().known.conceal(text)}\n".encode("utf-8", "backslashreplace"))
        self._tell_failure()

    def close(self) -> None:
        """Wait until all is written, as long as somebody reads it."""
        self._queue.put(None)
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            self._failure = self._failure or "nobody reads it"
        self._tell_failure()

    def _tell_failure(self) -> None:
        if self._failure and not self._is_told:
            self._is_told = True
            streams.current().is_short = True
            console.say(f"error: {self._what} cannot be written: {self._failure}")

    def _write_all(self) -> None:
        try:
            while (text := self._queue.get()) is not None:
                if self._failure is None:
                    self._write(text)
        except OSError as error:
            self._failure = error.strerror or str(error)
        try:
            self._close()
        except OSError as error:  # a full disk may show at the end only
            self._failure = self._failure or error.strerror or str(error)


class Beside:
    """What an apply or a destroy writes beside its text."""

    def __init__(self, events: "ApplyEvents", document: SideFile | None) -> None:
        self.events: ApplyEvents = events
        self._document = document

    def end(self, report: "Report") -> None:
        """Write how it ended; only the first end counts."""
        if self._document and not self.events.is_over:
            from reconciler.render.json import json_text
            from reconciler.render.report import report_json

            self._document.write(json_text(report_json(report)))
        self.events.end(report)


@contextmanager
def beside(options: Shared, spec: "Spec", *, events: str | None, plan_file: Path | None = None) -> Iterator[Beside]:
    """Open what is written beside the text of an apply or a destroy, for the block.

    Raises a usage error if it cannot be opened, before anything is done. With events on stdout all text goes to stderr.
    """
    from asyncio import CancelledError

    from reconciler.clock import SystemClock
    from reconciler.operations.apply_events import ApplyEvents

    if events == _STDOUT and options.output != "text":
        raise click.UsageError(
            f"{_EVENTS} - and -o {options.output} both need stdout; {_DOCUMENT} FILE writes beside it"
        )
    read = [*map(Path, (spec.file, *spec.overlays)), *([plan_file] if plan_file else [])]
    taken = [*read, *([_seen_from(options, events)] if events else [])]
    with (
        _opened(_EVENTS, events, options, read) as lines,
        _opened(_DOCUMENT, options.json_into, options, taken) as document,
        redirect_stdout(sys.stderr) if events == _STDOUT else nullcontext(),
    ):
        told = ApplyEvents(
            _writer(lines),
            stack=spec.stack,
            now=SystemClock().now,
            interrupts=(KeyboardInterrupt, CancelledError, click.Abort, EOFError),
        )
        both = Beside(told, document)
        try:
            yield both
        except BaseException as error:
            both.end(told.so_far(error))
            raise


def write_document(options: Shared, members: Mapping[str, Any], *, reads: Iterable[str | Path] = ()) -> None:
    """Write the verb's document to the file of --json-into, if that was given.

    It is none of those that the verb `reads`.
    """
    if options.json_into is None:
        return
    from reconciler.render.json import json_text
    from reconciler.render.style import FORMAT_VERSION

    with _opened(_DOCUMENT, options.json_into, options, [Path(one) for one in reads]) as file:
        assert file is not None
        file.write(json_text({"format_version": FORMAT_VERSION} | dict(members)))


def _writer(lines: SideFile | None) -> "Callable[[ApplyEvent], None]":
    """Return what writes each event as a line of JSON, if there is a file for it."""
    salt = console.new_salt()

    def write(event: "ApplyEvent") -> None:
        if lines is None:
            return
        from reconciler.canonical.change_hashes import change_hashes
        from reconciler.model.plan import Plan
        from reconciler.render.events import event_json
        from reconciler.render.json import json_line

        changes = change_hashes(event.about) if isinstance(event.about, Plan) else ()
        lines.write(json_line(event_json(event, salt=salt, change_hashes=changes)))

    return write


@contextmanager
def _opened(option: str, name: str | None, options: Shared, read: list[Path]) -> Iterator[SideFile | None]:
    if name is None:
        yield None
        return
    file = _stdout(option) if name == _STDOUT else _file(option, name, options, read)
    try:
        yield file
    finally:
        file.close()


def _stdout(option: str) -> SideFile:
    """Return stdout as a file, past what writes text there. Raises a usage error."""
    if option == _DOCUMENT:
        raise click.UsageError(f"{_DOCUMENT} - is -o json")
    stream = streams.innermost(sys.stdout)
    if stream is None:
        raise click.UsageError(f"{option} -: stdout is closed")

    def to_stream(text: bytes) -> None:
        stream.write(text.decode())
        stream.flush()

    write: Callable[[bytes], None] = to_stream
    try:
        stream.flush()
        write = partial(_write, stream.fileno())
    except UnsupportedOperation:  # a program runs the command, and gave it a stream of its own
        pass
    return SideFile(f"{option} -", write, lambda: None)


def _file(option: str, name: str, options: Shared, read: list[Path]) -> SideFile:
    """Open the file for its owner alone; a pipe or a device is written into as it is.

    A pipe without a reader is waited for, as a shell does. Raises a usage error.
    """
    path = _seen_from(options, name)
    if any(_is_same(path, one) for one in read):
        raise click.BadParameter(f"{name} is needed for something else; name another file", param_hint=option)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOCTTY, 0o600)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                os.fchmod(fd, 0o600)
                os.ftruncate(fd, 0)
        except OSError:
            os.close(fd)
            raise
    except OSError as error:
        from reconciler.operations.file_errors import how_to_write

        why = "; ".join(filter(None, (f"cannot write {name}: {error.strerror}", how_to_write(path, error))))
        raise click.BadParameter(why, param_hint=option) from error
    return SideFile(f"{option} {name}", partial(_write, fd), partial(os.close, fd))


def _seen_from(options: Shared, name: str) -> Path:
    """Return the file as seen from the directory of -C."""
    return (options.directory or Path()) / name


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other) and path.is_file()
    except OSError:
        return False


def _write(fd: int, text: bytes) -> None:
    while text:
        text = text[os.write(fd, text) :]
