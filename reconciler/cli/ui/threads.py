"""Let a command end although a thread of its event loop does not.

A name server that does not answer holds the thread that asks it for half a minute, and a directory on a lost network
drive for longer. The event loop and the interpreter would wait for them.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class _LeftBehind(ThreadPoolExecutor):
    """Runs each call in a thread of its own that nobody waits for."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=work, daemon=True).start()
        return future


def leave_threads_behind() -> None:
    """Let the running event loop wait for no thread at its end."""
    asyncio.get_running_loop().set_default_executor(_LeftBehind())
