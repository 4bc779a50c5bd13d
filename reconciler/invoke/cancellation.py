"""Run work that a stop event or a time limit can cancel."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


async def until_stopped(
    work: Coroutine[Any, Any, T], stop: asyncio.Event, *, timeout_s: float | None = None
) -> T | None:
    """Return what `work` returns; None if `stop` was set or `timeout_s` passed first.

    The work is then cancelled, and it releases its leases.
    """
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


@asynccontextmanager
async def in_turn(turn: asyncio.Semaphore | None, stop: asyncio.Event, *, timeout_s: float) -> AsyncIterator[None]:
    """Hold the turn for the block. Wait for it for at most `timeout_s`.

    After that the block runs without the turn: the claimant has its last try all the same.
    """
    has_turn = False
    if turn is not None and timeout_s > 0:
        has_turn = bool(await until_stopped(turn.acquire(), stop, timeout_s=timeout_s))
    try:
        yield
    finally:
        if has_turn and turn is not None:
            turn.release()
