"""The running state of one machine, which is not in its record."""

import asyncio

from msgspec import Struct, field

from reconciler.engine.runtime.base import Running


class RunState(Struct):
    """The running state of one machine.

    `running` is set from a start until its end is seen, and `watcher` is the task that waits for that end.
    """

    running: Running | None = None
    watcher: asyncio.Task[None] | None = None
    start_done: asyncio.Event | None = None  # None while no start is under way
    is_stopping: bool = False  # a stop was asked for
    is_suspended: bool = False
    is_out_of_memory: bool = False  # ended by a fault rule
    active_until_s: float = 0.0  # on the monotonic clock: earlier starts are refused as "still active"
    retries: int = 0  # restarts by policy since the last start by a call
    ports: dict[int, int] = field(default_factory=dict)  # ports of this host by internal port, of the last start

    async def after_start(self) -> Running | None:
        """Wait until no start is under way, and return what runs."""
        if self.start_done:
            await self.start_done.wait()
        return self.running

    async def after_stop(self) -> bool:
        """Wait until what is being stopped has ended; return whether anything was.

        A machine that was suspended reads `stopped` while its commands are still being killed.
        """
        if self.is_suspended:
            await asyncio.sleep(0)  # a stop that was called before goes first
        if not self.is_stopping or self.watcher is None:
            return False
        await asyncio.wait({self.watcher})
        return True
