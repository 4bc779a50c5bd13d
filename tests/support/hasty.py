"""A command in process that meets a real server, and whose own waits take a twentieth of their time.

For a client that backs off, polls or gives up; the server's time is the real one. Where the server may be in process
too, `CommandLine` is better: it takes no time at all.
"""

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, Final

import pytest

from reconciler.clock import SystemClock

HASTE: Final = 20.0


class _HastySelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        return super().select(timeout and timeout / HASTE)


class _HastyLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__(_HastySelector())

    def time(self) -> float:
        return time.monotonic() * HASTE


class _HastyClock(SystemClock):
    def monotonic(self) -> float:
        return time.monotonic() * HASTE


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what the test's process waits for by asyncio or by the clock take a twentieth of its time."""

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=_HastyLoop) as runner:
            return runner.run(work)

    monkeypatch.setattr(asyncio, "run", run)
    monkeypatch.setattr("reconciler.clock.SystemClock", _HastyClock)
