"""Running a verb's coroutine, and what Ctrl-C does to it: the first asks it to end well, the last cancels it."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from reconciler.cli import streams
from reconciler.cli.console import say

T = TypeVar("T")


def run_async(
    work: Coroutine[Any, Any, T],
    *,
    on_first: Callable[[], None] | None = None,
    on_second: Callable[[], None] | None = None,
    outlasts_output: bool = False,
) -> T:
    """What the coroutine returns. SIGINT and SIGTERM call `on_first`, then `on_second`; without them, or again, they
    cancel.

    Output that cannot be written cancels too, unless the work `outlasts_output`. Raises KeyboardInterrupt where it was
    cancelled, OutputError; leases are released on the way out.
    """
    import asyncio

    return asyncio.run(
        _guarded(work, [step for step in (on_first, on_second) if step], outlasts_output=outlasts_output)
    )


async def _guarded(work: Coroutine[Any, Any, T], steps: list[Callable[[], None]], *, outlasts_output: bool) -> T:
    import asyncio
    import signal

    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    pending = steps[::-1]

    def interrupt() -> None:
        if pending:
            pending.pop()()
            return
        say("interrupted again: giving up" if steps else "interrupted: letting go of what is under way")
        task.cancel()

    def end() -> None:
        if asyncio.current_task() is task:
            raise streams.OutputError
        if not task.cancelling():
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        output = streams.current()
        with output.outlasted() if outlasts_output else output.outlasted(end):
            return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
