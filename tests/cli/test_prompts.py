"""Ctrl-C at a question on a terminal, and before anything has begun: one line and the right code, no traceback."""

import asyncio
import os
import pty
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from reconciler.cli.ui import console
from tests.support.terminal import Terminal

pytestmark = pytest.mark.slow

SPEC = "version: 1\nname: s\napps: {app: {image: i, tasks: {work: {command: [sleep, '1000']}}}}\n"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "machines.yaml").write_text(SPEC)
    yield tmp_path
    assert Terminal(tmp_path, "engine", "stop").end() == 0


def test_ctrl_c_at_a_question_is_one_line(directory: Path) -> None:
    asking = Terminal(directory, "apply")
    asking.read_until("Only yes is accepted: ")
    asking.process.send_signal(signal.SIGINT)
    assert asking.end() == 130
    _, _, question = asking.shown.rpartition("Plan hash")
    assert question.replace("\r\n", "\n").splitlines()[1:] == [
        "Stack s on the local engine, spec machines.yaml",
        "Apply this? Only yes is accepted: ",
        "interrupted",
    ]


def test_the_end_of_the_input_is_a_no_on_a_line_of_its_own(directory: Path) -> None:
    asking = Terminal(directory, "apply")
    asking.read_until("Only yes is accepted: ")
    asking.type("\x04")
    assert asking.end() == 1
    assert asking.shown.endswith("accepted: \r\nnothing was changed\r\n")


def test_ctrl_c_at_the_question_what_becomes_of_a_run_leaves_it(directory: Path) -> None:
    assert Terminal(directory, "apply", "--yes").end() == 0
    invoking = Terminal(directory, "invoke", "work")
    invoking.read_until("work-iad-0: started")
    invoking.process.send_signal(signal.SIGINT)
    invoking.read_until("Type cancel")
    invoking.process.send_signal(signal.SIGINT)
    assert invoking.end() == 0, invoking.shown
    assert "detached; the run goes on" in invoking.shown
    assert "Traceback" not in invoking.shown


def test_a_signal_that_interrupts_no_read_ends_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it came just before the read blocks: another thread takes it, so that nothing wakes the main thread."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin, os.fdopen(ours, "r+b", buffering=0) as terminal:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(console, "is_interactive", lambda: True)
        ended, late = threading.Event(), threading.Event()

        def interrupt() -> None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            os.kill(os.getpid(), signal.SIGINT)
            if not ended.wait(timeout=10):
                late.set()
                terminal.write(b"no\n")

        thread = threading.Thread(target=interrupt)
        monkeypatch.setattr(click, "echo", lambda question="", **_options: thread.start() if question else None)
        try:
            with pytest.raises(click.Abort):
                asyncio.run(_ask_without_signals())
        finally:
            ended.set()
            thread.join()
        assert not late.is_set(), "the question went on"


async def _ask_without_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        console.ask_typed("Sure?", "yes", refusal="")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@pytest.mark.parametrize("words", [("apply", "--yes"), ("destroy", "--yes"), ("plan",), ("drift",), ("status",)])
def test_ctrl_c_while_the_target_is_silent_ends_the_command_at_once(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "machines.yaml").write_text(SPEC)
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"http://127.0.0.1:{server.getsockname()[1]}"
        waiting = Terminal(tmp_path, *words, "--target", target)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(65536)
            waiting.process.send_signal(signal.SIGINT)
            assert waiting.end() == 130, waiting.shown
    assert "interrupted" in waiting.shown
    assert "under way;" not in waiting.shown
    assert "Traceback" not in waiting.shown
