"""The logs of one run: backfilled from its start, streamed while it goes on, drained after its exit, in order.

Log lines carry no run id, so a run's lines are told by time: from its start on, and, since its machine runs nothing
else meanwhile, until its exit. Unreadable logs are said once and never change a run's outcome.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from reconciler.invoke.claimant import Claim
from reconciler.machines_api.client import LogLine
from reconciler.slots.actor import Actor

TakeLine: TypeAlias = Callable[[LogLine], None]

_FIRST_PAUSE_S: Final = 0.064
_LONGEST_PAUSE_S: Final = 2.0
_DRAIN_POLL_S: Final = 0.1
_APP_PROVIDERS: Final = {"app", None}


class LogReader:
    """Reads the log of one machine from a run's start on, and gives each of the task's own lines once."""

    def __init__(
        self, actor: Actor, claim: Claim, take: TakeLine, *, drain_s: float, until_ms: int | None = None
    ) -> None:
        self._actor = actor
        self._app = claim.machine.app
        self._machine_id = claim.machine.id
        self._start_ms = claim.start.timestamp_ms
        self._next_token: str | None = str(claim.start.timestamp_ms * 1_000_000)
        self._take = take
        self._drain_s = drain_s
        self._until_ms = until_ms
        self._seen: set[str] = set()
        self._is_unreadable = False

    async def stream(self) -> None:
        """Reads until cancelled, seldom while nothing comes."""
        pause_s = _FIRST_PAUSE_S
        while not self._is_unreadable:
            count = await self._read_page()
            pause_s = _FIRST_PAUSE_S if count else min(pause_s * 2, _LONGEST_PAUSE_S)
            await self._actor.clock.sleep(pause_s)

    async def drain(self) -> None:
        """Reads what is there after the exit: until nothing new comes for the target's log delay."""
        quiet_since = self._actor.clock.monotonic()
        while not self._is_unreadable:
            if await self._read_page():
                quiet_since = self._actor.clock.monotonic()
                continue
            if self._actor.clock.monotonic() - quiet_since >= self._drain_s:
                return
            await self._actor.clock.sleep(_DRAIN_POLL_S)

    async def _read_page(self) -> int:
        try:
            page = await self._actor.client.read_logs(
                self._app, machine_id=self._machine_id, next_token=self._next_token
            )
        except Exception as error:
            self._is_unreadable = True
            self._actor.emit(f"the run's logs cannot be read: {self._actor.explain(error)}")
            return 0
        self._next_token = page.next_token or self._next_token
        fresh = [line for line in page.lines if line.id not in self._seen]
        for line in fresh:
            self._seen.add(line.id)
            if line.provider in _APP_PROVIDERS and self._is_of_run(line):
                self._take(line)
            elif line.level == "error" and self._is_of_run(line):
                self._actor.emit(line.message)
        return len(fresh)

    def _is_of_run(self, line: LogLine) -> bool:
        at_ms = line.timestamp.timestamp() * 1000
        return self._start_ms <= at_ms and (self._until_ms is None or at_ms < self._until_ms)
