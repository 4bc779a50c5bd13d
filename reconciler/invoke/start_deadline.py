"""One deadline from the claim to the confirmed start, whatever is waited for in between.

Decides how a claim ends that takes too long or is interrupted: lost where its start may have taken effect, else never
started. The claim itself releases its leases and takes its marks back when it is cancelled.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from reconciler.errors import ReconcilerError, StartUnclearError
from reconciler.invoke.claim_request import Claimant, Progress, Refusal, Unconfirmed
from reconciler.invoke.outcome import interrupted, never_started
from reconciler.model.run import Outcome

T = TypeVar("T")

_SETTLED_WITHIN_S: Final = 1.0
_SEEN_WITHIN_S: Final = 4.0
_ANSWER_DUE_S: Final = 3.0  # a start that was sent is answered by then, or is not waited for after an interrupt


@dataclass(slots=True, kw_only=True)
class StartDeadline:
    """The time for one start. It runs on while claims fail and none of the machines is busy; a queue stops it."""

    claimant: Claimant
    at: float | None = None
    last: Refusal | None = None  # why the claim before this one failed

    @property
    def left_s(self) -> float:
        """Seconds until it has passed; the whole time where no claim was begun."""
        now = self.claimant.context.clock.monotonic()
        return self.claimant.start_timeout_s if self.at is None else max(0.0, self.at - now)

    def forget(self) -> None:
        """Nothing is being started any more: what is waited for now is a free machine."""
        self.at = self.last = None

    @property
    def ended(self) -> Outcome | None:
        """How the invoke ends between two claims: what is left is no time in which another start could be seen."""
        if self.at is None or self.last is None:
            return None
        if self.left_s >= (_SETTLED_WITHIN_S if self.last.is_settling else _SEEN_WITHIN_S):
            return None
        return never_started(f"{self.last.why}, for {self._words}", cause=self.last.cause)

    async def bound(self, work: Coroutine[Any, Any, T]) -> T | Unconfirmed | Outcome:
        """What the claim comes to, or how it ended early: by the deadline, or by the claimant's stop."""
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
        """Returns when the claim has ended, or has to."""
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
                await asyncio.wait({claiming})  # all that it still does is to release its leases
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
