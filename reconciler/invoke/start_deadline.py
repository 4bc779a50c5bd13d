"""Limit the time from a claim to its confirmed start, whatever it waits for.

It decides the outcome of a claim that takes too long or is interrupted: LOST if its start may have had its effect, else
NEVER_STARTED. A claim that is cancelled releases its leases and takes its marks back itself.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from msgspec import Struct

from reconciler.errors import ReconcilerError, StartUnclearError
from reconciler.invoke.claim_request import Claimant, Progress, Refusal, Unconfirmed
from reconciler.invoke.outcome import interrupted, never_started
from reconciler.model.run import Outcome

T = TypeVar("T")

_SETTLED_WITHIN_S: Final = 1.0
_SEEN_WITHIN_S: Final = 4.0
_ANSWER_DUE_S: Final = 3.0  # how long an interrupt waits for the answer to a start that was sent


class StartDeadline(Struct, kw_only=True):
    """The time limit of one start.

    It runs on while claims fail and no machine is busy. Waiting for a busy machine resets it.
    """

    claimant: Claimant
    at: float | None = None
    last: Refusal | None = None  # why the claim before this one failed

    @property
    def left_s(self) -> float:
        """Return the seconds until the deadline; the full time if no claim has begun."""
        now = self.claimant.context.clock.monotonic()
        return self.claimant.start_timeout_s if self.at is None else max(0.0, self.at - now)

    def forget(self) -> None:
        """Reset the deadline: nothing is being started, a free machine is waited for."""
        self.at = self.last = None

    @property
    def ended(self) -> Outcome | None:
        """Return the outcome if too little time is left to see another start, else None."""
        if self.at is None or self.last is None:
            return None
        if self.left_s >= (_SETTLED_WITHIN_S if self.last.is_settling else _SEEN_WITHIN_S):
            return None
        return never_started(f"{self.last.why}, for {self._words}", cause=self.last.cause)

    async def bound(self, work: Coroutine[Any, Any, T]) -> T | Unconfirmed | Outcome:
        """Return what the claim returns, or its outcome if deadline or stop ended it."""
        claimant = self.claimant
        progress = claimant.progress
        progress.begin()
        if self.at is None:
            self.at = claimant.context.clock.monotonic() + claimant.start_timeout_s
        progress.until = self.at
        claiming = asyncio.create_task(work)
        try:
            await self._wait(claiming, progress)
            if not claiming.done():
                claiming.cancel()
                await asyncio.wait({claiming})
        finally:
            claiming.cancel()
            await asyncio.gather(claiming, return_exceptions=True)
        if claiming.cancelled():
            return self._ended_early(progress)
        try:
            return claiming.result()
        except StartUnclearError as error:
            assert progress.sent is not None, "only a start that was sent is unclear"
            return _lost(progress.sent, error.message)
        except Exception as error:
            if progress.sent is None or isinstance(error, ReconcilerError):
                raise
            return _lost(progress.sent, claimant.context.explain(error))

    async def _wait(self, claiming: "asyncio.Task[Any]", progress: Progress) -> None:
        """Wait until the claim has ended, or must be cancelled."""
        clock, stop = self.claimant.context.clock, self.claimant.stop
        timer = asyncio.create_task(clock.sleep(self.left_s))
        stopping = asyncio.create_task(stop.wait())
        answer_due: asyncio.Task[None] | None = None
        try:
            await asyncio.wait({claiming, timer, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not (claiming.done() or timer.done()) and progress.sent is not None:
                answer_due = asyncio.create_task(clock.sleep(_ANSWER_DUE_S))
                await asyncio.wait({claiming, timer, answer_due}, return_when=asyncio.FIRST_COMPLETED)
            if progress.is_confirmed:
                await asyncio.wait({claiming})  # it only releases its leases now
        finally:
            for task in (timer, stopping, answer_due):
                if task:
                    task.cancel()

    def _ended_early(self, progress: Progress) -> Unconfirmed | Outcome:
        claimant = self.claimant
        if claimant.stop.is_set():
            if progress.sent:
                return _lost(progress.sent, f"interrupted while {progress.doing}")
            return interrupted()
        why = f"{progress.doing} took longer than {self._words}"
        if progress.sent:
            return _lost(progress.sent, why)
        return never_started(why, cause=self.last.cause if self.last else None)

    @property
    def _words(self) -> str:
        return f"the {self.claimant.start_timeout_s:g} s that a start may take"


def _lost(sent: Unconfirmed, why: str) -> Unconfirmed:
    return Unconfirmed(run_ulid=sent.run_ulid, machine=sent.machine, why=why)
