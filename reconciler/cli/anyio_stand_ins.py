"""Stand in for what httpcore takes from anyio, by asyncio alone.

anyio takes long to import. Once someone has imported anyio, it is used instead: its cancel scopes may then be around a
call, and asyncio does not know them.
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def new_lock() -> Any:
    """Return a lock, as `anyio.Lock` does."""
    import asyncio

    return (sys.modules.get("anyio") or asyncio).Lock()


def new_event() -> Any:
    """Return an event, as `anyio.Event` does."""
    import asyncio

    return (sys.modules.get("anyio") or asyncio).Event()


def new_semaphore(initial_value: int, *, max_value: int | None = None) -> Any:
    """Return a semaphore, as `anyio.Semaphore` does."""
    if anyio := sys.modules.get("anyio"):
        return anyio.Semaphore(initial_value, max_value=max_value)
    import asyncio

    return asyncio.Semaphore(initial_value)


def new_scope(*, shield: bool = False) -> Any:
    """Return a context that anyio's cancel scopes around it do not cancel."""
    anyio = sys.modules.get("anyio")
    return anyio.CancelScope(shield=shield) if anyio else nullcontext()


def fail_after(delay: float | None) -> AbstractContextManager[Any]:
    """Raise TimeoutError if the block takes longer than that many seconds."""
    if anyio := sys.modules.get("anyio"):
        limited: AbstractContextManager[Any] = anyio.fail_after(delay)
        return limited
    return nullcontext() if delay is None else _Limit(delay)


class _Limit(AbstractContextManager[None]):
    def __init__(self, delay: float) -> None:
        import asyncio

        self._timeout = asyncio.timeout(delay)

    def __enter__(self) -> None:
        _finish(self._timeout.__aenter__())

    def __exit__(self, *exception: Any) -> bool | None:
        return bool(_finish(self._timeout.__aexit__(*exception)))


def _finish(steps: Any) -> Any:
    """Run a coroutine that waits for nothing."""
    try:
        steps.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("a timeout of asyncio waits when it begins or ends")
