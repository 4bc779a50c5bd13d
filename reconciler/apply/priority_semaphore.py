"""A semaphore whose next free place goes to an urgent caller first."""

import asyncio
from collections import deque


class PrioritySemaphore:
    """Limit concurrency to `count`. Callers wait in order, urgent ones first."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    async def acquire(self, *, is_urgent: bool = False) -> None:
        """Wait for a place. The caller must release it."""
        if self._free > 0:
            self._free -= 1
            return
        line = self._urgent if is_urgent else self._others
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                line.remove(turn)
            else:
                self.release()  # the place was granted and the wait cancelled at the same moment
            raise

    def release(self) -> None:
        """Give the place to the next caller."""
        for line in (self._urgent, self._others):
            while line:
                turn = line.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_error: object) -> None:
        self.release()
