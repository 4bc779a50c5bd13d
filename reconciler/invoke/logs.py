"""Read the output of one run: stream it during the run, drain it afterwards.

Log lines carry no run id, so the time tells which run a line belongs to: from the run's start until the next run's
start, as a machine has one run at a time. The platform's restarts in between separate its attempts. After a failed read
the same lines are asked for again, after the run's end for some seconds only. Missing lines are reported, and never
change the outcome of the run.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeAlias

from msgspec.structs import replace

from reconciler.errors import LogsIncompleteError
from reconciler.invoke.claim_request import Claim
from reconciler.machines_api.logs import LogLine
from reconciler.slots.context import Context
from reconciler.slots.log_reader import ASK_AGAIN_S, LogReader
from reconciler.slots.run_starts import RunSpan

TakeLine: TypeAlias = Callable[[LogLine], None]
TakeProblem: TypeAlias = Callable[[LogsIncompleteError], None]

DRAIN_LIMIT_S: Final = 10.0  # for callers that wait for more than the log
_PATIENCE_S: Final = 6.0  # how long to retry failed reads after the run's end
_WORTH_TELLING_S: Final = 5.0  # how long reads may fail during the run before that is reported
_FIRST_PAUSE_S: Final = 0.064
_LONGEST_PAUSE_S: Final = 2.0
_PAGE_PAUSE_S: Final = 0.01  # no busy loop, whatever the server answers
_DRAIN_POLL_S: Final = 0.1
_CAUGHT_UP_S: Final = 10.0  # a reader has caught up by then, even if our clock is wrong
_EVENTS: Final = 50
_EVENT_TIME_MS: Final = 1  # the times of events are whole milliseconds


class RunLogs:
    """Read the log of a run's machine from the run's start; pass on each line once.

    `delay_s` is how late lines may come. `span` holds the known starts of the run, which are complete up to
    `known_until`. `on_incomplete` is called if lines are missing in the end; by default that is reported as progress.
    """

    def __init__(
        self,
        context: Context,
        claim: Claim,
        take: TakeLine,
        *,
        delay_s: float,
        span: RunSpan | None = None,
        known_until: datetime | None = None,
        on_incomplete: TakeProblem | None = None,
    ) -> None:
        self._context = context
        self._claim = claim
        self._take = take
        self._delay_s = delay_s
        self._span = span or RunSpan(starts=(claim.start,))
        config = claim.machine.config
        self._may_restart = config is None or config.restart_policy != "no"
        self._known_until_ms = _milliseconds(known_until) + _EVENT_TIME_MS if known_until else 0.0
        self._on_incomplete = on_incomplete or self._emit
        self._reader = LogReader(context, claim.machine, since_ms=claim.start.timestamp_ms)
        self._ended_ms: float | None = None
        self._newest_ms = 0.0
        self._is_past_end = False  # a line of the next run was seen
        self._unplaced: list[LogLine] = []  # lines whose run is not known yet
        self._failure: Exception | None = None  # of the last read
        self._failing_since = 0.0

    async def stream(self) -> None:
        """Read until cancelled; back off while no new lines come."""
        pause_s = _FIRST_PAUSE_S
        is_told = False
        while True:
            has_news = await self._has_news()
            if self._failure is None:
                is_told = False
                pause_s = _FIRST_PAUSE_S if has_news else min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                pause_s = ASK_AGAIN_S
                if self._failing_s > _WORTH_TELLING_S and not is_told:
                    is_told = True
                    why = self._context.explain(self._failure)
                    self._context.emit(f"the run's log cannot be read for now: {why}")
            await self._context.clock.sleep(pause_s)

    async def drain(
        self, *, ended_at: datetime | None = None, up_to: datetime | None = None, limit_s: float | None = None
    ) -> None:
        """Read until no new lines come for the log delay, for at most `limit_s`.

        `ended_at` is the time of the run's exit. For a run that goes on, lines after `up_to` need not be read.
        """
        self._ended_ms = _milliseconds(ended_at) if ended_at else None
        self._failing_since = self._context.clock.monotonic()
        is_whole = False
        try:
            async with asyncio.timeout(limit_s):
                is_whole = await self._read_to_end(_milliseconds(up_to) if up_to else None)
        except TimeoutError:
            pass
        if not is_whole:
            self._on_incomplete(self._problem())

    def _problem(self) -> LogsIncompleteError:
        run_id = self._claim.run_id
        why = "reading its log took too long"
        if self._failure:
            why = f"its log cannot be read: {self._context.explain(self._failure)}"
        hint = f"`reconciler logs {run_id}` shows it, once its log can be read"
        return LogsIncompleteError(f"the output of {run_id} is incomplete: {why}", hint=hint)

    async def _read_to_end(self, up_to_ms: float | None) -> bool:
        """Read to the end of the log. Return whether all lines were read."""
        clock = self._context.clock
        began = quiet_since = clock.monotonic()
        while not self._is_past_end:
            has_news = await self._has_news()
            now = clock.monotonic()
            if self._failure is not None:
                if self._failing_s >= _PATIENCE_S:
                    return False
                await clock.sleep(ASK_AGAIN_S)
            elif has_news:
                quiet_since = now
                if up_to_ms is not None and self._newest_ms >= up_to_ms and now - began >= _CAUGHT_UP_S:
                    return True
                await clock.sleep(_PAGE_PAUSE_S)
            elif now - quiet_since >= self._delay_s:
                return True
            else:
                await clock.sleep(_DRAIN_POLL_S)
        return True

    async def _has_news(self) -> bool:
        """Read a page. Return whether it has a line newer than all before.

        A failure is kept in `_failure`.
        """
        began = self._context.clock.monotonic()
        try:
            lines = await self._read()
        except Exception as error:
            if self._failure is None:
                self._failing_since = began
            self._failure = error
            return False
        self._failure = None
        newest_ms = max(map(_time_ms, lines), default=0.0)
        has_news = newest_ms > self._newest_ms
        self._newest_ms = max(newest_ms, self._newest_ms)
        for line in lines:
            self._place(line)
        return has_news

    @property
    def _failing_s(self) -> float:
        return self._context.clock.monotonic() - self._failing_since

    async def _read(self) -> list[LogLine]:
        """Return the lines of a page, once the starts before them are known."""
        self._unplaced += await self._reader.read()
        if any(map(self._is_to_be_told_apart, self._unplaced)):
            machine = self._claim.machine
            events = await self._context.client.list_events(machine.app, machine.id, limit=_EVENTS)
            self._span = self._span.extended(events)
            self._known_until_ms = max(self._known_until_ms, *map(_time_ms, self._unplaced))
        lines, self._unplaced = self._unplaced, []
        return lines

    def _is_to_be_told_apart(self, line: LogLine) -> bool:
        at_ms = _time_ms(line)
        if self._ended_ms is not None and at_ms >= self._ended_ms + _EVENT_TIME_MS:
            return self._span.following is None
        return self._may_restart and at_ms > self._known_until_ms

    def _place(self, line: LogLine) -> None:
        at_ms = _time_ms(line)
        attempt = self._span.attempt_at(at_ms)
        if self._span.following and at_ms >= self._span.following.timestamp_ms:
            self._is_past_end = True
        elif attempt == 0:
            return
        elif line.is_output:
            self._take(line if attempt == line.attempt else replace(line, attempt=attempt))
        elif line.is_platform_error:
            self._context.emit(line.message)

    def _emit(self, problem: LogsIncompleteError) -> None:
        self._context.emit(f"{problem.message}; {problem.hint}")


def _time_ms(line: LogLine) -> float:
    return _milliseconds(line.timestamp)


def _milliseconds(at: datetime) -> float:
    return at.timestamp() * 1000
