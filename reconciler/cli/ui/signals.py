"""Run a verb's coroutine. The first Ctrl-C lets it end well, the last cancels it."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from reconciler.cli.ui import streams
from reconciler.cli.ui.console import say

T = TypeVar("T")
Step: TypeAlias = Callable[[], bool]
"""Asks the work to end well; False where that makes no difference now: then the next step is taken."""


def run_async(
    work: Coroutine[Any, Any, T],
    *,
    on_first: Step | None = None,
    on_second: Step | None = None,
    outlasts_output: bool = False,
) -> T:
    """Return what the coroutine returns.

    SIGINT, SIGTERM and SIGHUP call `on_first`, then `on_second`; without them, or again, they cancel. Output that
    cannot be written cancels too, unless the work `outlasts_output`. Raises KeyboardInterrupt if it was cancelled, and
    OutputError; leases are released before.
    """
    steps = [step for step in (on_first, on_second) if step]
    guarded = _guarded(work, steps, outlasts_output=outlasts_output)
    try:
        import asyncio

        return asyncio.run(guarded)
    finally:  # where Ctrl-C came before they began, nothing is to warn of them
        guarded.close()
        work.close()


def interrupting() -> list[int]:
    """Return the signals that interrupt; SIGHUP only if it is not ignored (nohup)."""
    import signal

    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hangup]


async def _guarded(work: Coroutine[Any, Any, T], steps: list[Step], *, outlasts_output: bool) -> T:
    import asyncio

    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    pending = steps[::-1]
    has_asked = False

    def interrupt() -> None:
        nonlocal has_asked
        if task.done():
            return
        while pending:
            if pending.pop()():
                has_asked = True
                return
        if has_asked:
            say("interrupted again: giving up")
        elif not steps:
            say("interrupted: letting go of what is under way")
        task.cancel()

    def end() -> None:
        if asyncio.current_task() is task:
            raise streams.OutputError
        if not task.cancelling():
            task.cancel()

    numbers = interrupting()
    for number in numbers:
        loop.add_signal_handler(number, interrupt)
    try:
        output = streams.current()
        with output.outlasted() if outlasts_output else output.outlasted(end):
            return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
