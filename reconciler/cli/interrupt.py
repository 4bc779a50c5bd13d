"""Running a verb's coroutine, and what Ctrl-C does to it: the first asks it to end well, the second cancels it."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from reconciler.cli.console import say

T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T], *, on_first: Callable[[], None] | None = None) -> T:
    """What the coroutine returns. SIGINT and SIGTERM call `on_first` once; without it, or again, they cancel.

    Raises KeyboardInterrupt where it was cancelled; leases are released on the way out.
    """
    import asyncio

    return asyncio.run(_guarded(work, on_first))


async def _guarded(work: Coroutine[Any, Any, T], on_first: Callable[[], None] | None) -> T:
    import asyncio
    import signal

    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    pending = [on_first] if on_first else []

    def interrupt() -> None:
        if pending:
            first = pending.pop()
            assert first is not None
            first()
            return
        say("interrupted again: giving up" if on_first else "interrupted: letting go of what is under way")
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
