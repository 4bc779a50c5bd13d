"""Read one machine's log page by page, each line once, in order.

After a failed read the next one asks for the same lines again. The caller decides how long to read.
"""

from typing import Final

from reconciler.errors import ApiError
from reconciler.machines_api.logs import LogLine
from reconciler.model.machine import Machine
from reconciler.slots.context import Context

ASK_AGAIN_S: Final = 1.0  # after a failed read
_IDS_KEPT: Final = 10_000  # of the newest lines: a page may repeat lines of the page before


class LogReader:
    """Read a machine's log from `since_ms` on.

    Without `since_ms` it begins with the newest lines, about a hundred.
    """

    def __init__(self, context: Context, machine: Machine, *, since_ms: int | None = None) -> None:
        self.machine = machine
        self._context = context
        self._next_token = None if since_ms is None else str(since_ms * 1_000_000)
        self._seen: dict[str, None] = {}

    async def read(self) -> list[LogLine]:
        """Return the new lines of the next page. After an ApiError no line is skipped."""
        page = await self._context.client.logs.read(
            self.machine.app, machine_id=self.machine.id, next_token=self._next_token
        )
        self._next_token = page.next_token or self._next_token
        fresh = {_key(line): line for line in page.lines if _key(line) not in self._seen}
        self._seen |= dict.fromkeys(fresh)
        while len(self._seen) > _IDS_KEPT:
            del self._seen[next(iter(self._seen))]
        return list(fresh.values())

    async def read_within(self, patience_s: float) -> list[LogLine]:
        """Read like `read`, and retry for `patience_s` seconds. Raises the last ApiError."""
        clock = self._context.clock
        deadline = clock.monotonic() + patience_s
        while True:
            try:
                return await self.read()
            except ApiError:
                if clock.monotonic() + ASK_AGAIN_S > deadline:
                    raise
                await clock.sleep(ASK_AGAIN_S)


def _key(line: LogLine) -> str:
    """Return what identifies a line; a server may send no ids."""
    return line.id or f"{line.timestamp.timestamp()} {line.message}"
