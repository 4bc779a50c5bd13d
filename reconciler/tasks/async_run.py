"""One run, for asyncio code: its end, its output and its stop, however many ask for them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace

from reconciler.errors import NotStartedError, UnobservedError
from reconciler.invoke.attach import cancel_run, claim_of, fail, read_run_logs, run_of_claim, wait_run
from reconciler.invoke.claim_request import Claim, Unconfirmed
from reconciler.invoke.logs import RunLogs
from reconciler.invoke.outcome import lost_from_sight
from reconciler.invoke.runs import FoundRun
from reconciler.machines_api.logs import LogLine
from reconciler.model.run import Outcome, RunInfo, RunState
from reconciler.slots.context import Context


class AsyncRun:
    """One run. It goes on whether or not anyone waits for it; its `timeout` is kept by whoever does."""

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

    @property
    def id(self) -> str:
        """`<slot>/<ULID>`: what `find`, and the commands `wait`, `logs` and `cancel` take."""
        return self._found.info.id

    @property
    def info(self) -> RunInfo:
        """The run as it was last seen."""
        return self._found.info

    async def wait(self, timeout_s: float | None = None) -> Outcome:
        """How it ended: a failed run is a value. Raises TimeoutError after `timeout_s`; the run goes on then.

        LOST, with `info` still RUNNING, where the API was away too long: it may be waited for again.
        """
        async with asyncio.timeout(timeout_s):
            info = await self._ended()
        assert info.outcome is not None, "a run that has ended has an outcome"
        return info.outcome

    async def logs(self) -> AsyncIterator[LogLine]:
        """Each line of its output, from its start to its end, as it comes; of a run that has ended, all of them.

        Raises UnobservedError where the API was away too long: there may be more; LogsIncompleteError, after all that
        could be read, where lines are missing.
        """
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
        """Ends it by its stop signal, then the kill, and waits for its end. False where it was over already.

        Raises UnobservedError where that was not seen: it hangs, or the API was away too long.
        """
        was_running = await cancel_run(self._context, self._found)
        if was_running:
            self._ending = self._wait(was_stopped=True)
        _require_end(await self._ended())
        return was_running

    async def _ended(self) -> RunInfo:
        """Its end, waited for once however many wait, and not given up where one of them does."""
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


def run_begun(
    context: Context, begun: Claim | FoundRun | Unconfirmed | Outcome, *, timeout_s: float | None
) -> FoundRun:
    """Return the run that was begun. Raises NotStartedError where none was, or where that cannot be learnt."""
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
    """Whether the end that was waited for did not come: the wait was given up, or the API was away."""
    return ending.done() and bool(ending.cancelled() or ending.exception() or ending.result().state is RunState.RUNNING)


def _require_end(info: RunInfo) -> None:
    if info.state is RunState.RUNNING and info.outcome:
        raise UnobservedError(info.outcome.message, hint=info.outcome.remedy)
