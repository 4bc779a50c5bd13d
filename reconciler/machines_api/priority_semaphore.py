"""A limit on what goes on at once, like a semaphore, of which some may have the next place that is free."""

import asyncio
from collections import deque


class Places:
    """So many places. Who waits gets one in turn, who is urgent before all others that wait."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    async def acquire(self, *, is_urgent: bool = False) -> None:
        """Returns with a place, which is to be released."""
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
                self.release()  # the place was given at the moment at which nobody wanted it any more
            raise

    def release(self) -> None:
        """Gives a place to the next one."""
        for line in (self._urgent, self._others):
            while line:
                turn = line.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1
