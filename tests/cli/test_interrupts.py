"""Ctrl-C at a moment when no verb is at work: one line and the right code, no traceback and no warning."""

import asyncio
import inspect
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from reconciler.cli.__main__ import main
from reconciler.cli.ui.signals import run_async
from tests.support.interrupting import interrupt_import


@pytest.fixture(autouse=True)
def _own_handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "argv", ["reconciler", "plan"])
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_while_the_command_is_imported(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    interrupt_import(monkeypatch, "reconciler.cli.main")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capfd.readouterr().err == "interrupted\n"


def test_once_there_is_a_code_it_stays() -> None:
    program = """
import atexit, signal
import reconciler.cli.main
from reconciler.cli.__main__ import main
atexit.register(signal.raise_signal, signal.SIGINT)
reconciler.cli.main.main = lambda _failure: 7
main()
"""
    ended = subprocess.run([sys.executable, "-c", program, "plan"], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"", b"")


def test_once_the_work_is_done_its_result_stands(capsys: pytest.CaptureFixture[str]) -> None:
    async def interrupted_at_its_end() -> int:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0)  # by then the loop has got the signal, and not called its handler
        return 5

    def never() -> bool:
        raise AssertionError("it is asked to end well")

    assert run_async(interrupted_at_its_end(), on_first=never) == 5
    assert run_async(interrupted_at_its_end()) == 5
    assert capsys.readouterr().err == ""


def test_before_the_work_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> None:
        raise AssertionError("it has begun")

    def interrupted(_work: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run", interrupted)
    work = never()
    with pytest.raises(KeyboardInterrupt):
        run_async(work)
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


@pytest.fixture
def _own_hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_own_hangup")
@pytest.mark.parametrize("is_outlived", [False, True])
def test_the_end_of_the_terminal_is_an_interrupt_unless_it_is_to_be_outlived(is_outlived: bool) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN if is_outlived else signal.SIG_DFL)
    asked: list[bool] = []

    def ask() -> bool:
        asked.append(True)
        return True

    async def hung_up() -> int:
        signal.raise_signal(signal.SIGHUP)
        for _ in range(3):  # the loop hears of it, and calls its handler
            await asyncio.sleep(0)
        return 5

    assert run_async(hung_up(), on_first=ask) == 5
    assert asked == ([] if is_outlived else [True])
