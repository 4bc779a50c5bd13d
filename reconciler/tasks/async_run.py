"""One run, for asyncio code: wait for its end, read its output, end it.

Any number of callers may do so at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from reconciler.errors import NotStartedError, RunFailedError, UnobservedError
from reconciler.invoke.attach import cancel_run, claim_of, fail, read_run_logs, run_of_claim, wait_run
from reconciler.invoke.claim_request import Claim, Unconfirmed
from reconciler.invoke.invoke import InvokeOptions
from reconciler.invoke.logs import RunLogs
from reconciler.invoke.outcome import lost_from_sight
from reconciler.invoke.pool_cache import KnownPool
from reconciler.invoke.queue import listing_time_s, unlisted
from reconciler.invoke.runs import FoundRun
from reconciler.machines_api.logs import LogLine
from reconciler.model.run import Outcome, RunInfo, RunState
from reconciler.slots.context import Context
from reconciler.tasks.arguments import seconds_of
from reconciler.tasks.library_words import of_run, spoken_by_methods
from reconciler.tasks.own_session import OwnLoop


@spoken_by_methods
class AsyncRun:
    """One run. It goes on whether or not anyone waits for it.

    Its `timeout` is kept by whoever waits.
    """

    def __init__(
        self,
        context: Context,
        found: FoundRun,
        *,
        log_delay_s: float,
        lost_after_s: float,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
        self._found = found
        self._log_delay_s = log_delay_s
        self._lost_after_s = lost_after_s
        self._on_end = on_end
        self._ending: asyncio.Task[RunInfo] | None = None
        self._loop = OwnLoop()
        self._loop.require()

    def __repr__(self) -> str:
        return shown_run(type(self).__name__, self.info)

    @property
    def id(self) -> str:
        """Return `<slot>/<ULID>`, as `find`, `wait`, `logs` and `cancel` take it."""
        return self._found.info.id

    @property
    def info(self) -> RunInfo:
        """Return the run as it was last seen."""
        return of_run(self._found.info)

    async def wait(self, timeout: str | float | None = None, *, timeout_s: float | None = None) -> Outcome:
        """Return how it ended: a failed run is a value. Raises TimeoutError.

        `timeout` is in seconds, or like 10m; `timeout_s` is its older name. After it the run goes on. It is LOST, with
        `info` still RUNNING, if the API was away too long: it may be waited for again.
        """
        self._loop.require()
        async with asyncio.timeout(seconds_of(timeout, timeout_s)):
            info = of_run(await self._ended())
        assert info.outcome is not None, "a run that has ended has an outcome"
        return info.outcome

    async def check(self, timeout: str | float | None = None) -> Outcome:
        """Return how it ended, as `wait` does. Raises RunFailedError unless it succeeded."""
        outcome = await self.wait(timeout)
        if not outcome.ok:
            raise RunFailedError(outcome, run_id=self.id)
        return outcome

    async def logs(self) -> AsyncIterator[LogLine]:
        """Yield each line of its output, from its start to its end, as it comes.

        Of a run that has ended these are all lines. Raises UnobservedError if the API was away too long: there may be
        more. Raises LogsIncompleteError, after all that could be read, if lines are missing.
        """
        self._loop.require()
        lines: asyncio.Queue[LogLine | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(lines.put_nowait))
        reading.add_done_callback(lambda _: lines.put_nowait(None))
        try:
            while (line := await lines.get()) is not None:
                yield line
            await reading
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(reading, return_exceptions=True)

    async def cancel(self) -> bool:
        """End it by its stop signal, then the kill, and wait. False if it was over.

        Raises UnobservedError if its end was not seen: it hangs, or the API was away too long.
        """
        self._loop.require()
        was_running = await cancel_run(self._context, self._found)
        if was_running:
            self._ending = self._wait(was_stopped=True)
        _require_end(await self._ended())
        return was_running

    async def _ended(self) -> RunInfo:
        """Return its end, waited for once however many wait.

        The wait goes on if one of them gives up.
        """
        if self._ending is None or _is_to_be_asked_again(self._ending):
            self._ending = self._wait()
        info = await asyncio.shield(self._ending)
        if self._found.info.state is RunState.RUNNING and info.state is not RunState.RUNNING:
            self._found = replace(self._found, info=info)
            self._on_end()
        return info

    def _wait(self, *, was_stopped: bool = False) -> asyncio.Task[RunInfo]:
        waiting = wait_run(self._context, self._found, lost_after_s=self._lost_after_s, was_stopped=was_stopped)
        return asyncio.create_task(waiting)

    async def _read(self, take: Callable[[LogLine], None]) -> None:
        if self._found.info.state is not RunState.RUNNING:
            await read_run_logs(self._context, self._found, take, log_delay_s=self._log_delay_s)
            return
        logs = RunLogs(self._context, claim_of(self._found), take, delay_s=self._log_delay_s, on_incomplete=fail)
        streaming = asyncio.create_task(logs.stream())
        try:
            info = await self._ended()
        finally:
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)
        _require_end(info)
        await logs.drain(ended_at=info.ended_at)


def shown_run(face: str, info: RunInfo) -> str:
    """Return the repr of a run: which one it is, and how it stands."""
    stands = f"outcome={info.outcome.name.value!r}" if info.outcome else f"state={info.state.value!r}"
    return f"{face}(id={info.id!r}, {stands})"


async def listed_in_time(listing: Coroutine[Any, Any, KnownPool], task: str, options: InvokeOptions) -> KnownPool:
    """Return the machines of the task that an invoke lists.

    Raises NotStartedError if that takes longer than it may wait.
    """
    time_s = listing_time_s(options.on_busy, options.queue_timeout_s)
    try:
        async with asyncio.timeout(time_s):
            return await listing
    except TimeoutError:
        raise NotStartedError(unlisted(task, time_s)) from None


def run_begun(
    context: Context, begun: Claim | FoundRun | Unconfirmed | Outcome, *, timeout_s: float | None
) -> FoundRun:
    """Return the run that was begun. Raises NotStartedError.

    That is if none was begun, or if nobody can know.
    """
    match begun:
        case Outcome():
            raise NotStartedError(begun)
        case Unconfirmed():
            outcome = lost_from_sight(begun.run_id, begun.why, context.local)
            raise NotStartedError(outcome, run_id=begun.run_id)
        case Claim():
            return run_of_claim(begun, context, timeout_s=timeout_s)
        case FoundRun():
            return begun


def _is_to_be_asked_again(ending: asyncio.Task[RunInfo]) -> bool:
    """Return whether the end is still to come: the wait ended, or the API was away."""
    return ending.done() and bool(ending.cancelled() or ending.exception() or ending.result().state is RunState.RUNNING)


def _require_end(info: RunInfo) -> None:
    if info.state is RunState.RUNNING and info.outcome:
        raise UnobservedError(info.outcome.message, hint=info.outcome.remedy)
