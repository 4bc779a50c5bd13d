"""Retry while the target gives no usable answer, report it, give up in the end.

It decides how long to retry. What giving up means for a run, which may go on meanwhile, the caller decides.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError, ReconcilerError
from reconciler.slots.context import Context

T = TypeVar("T")

LOST_AFTER_S: Final = 1800.0  # the platform's API is down for some minutes now and then, and its machines run on
_LOCAL_ENGINE_S: Final = 10.0  # an engine that is restarted serves by then
_REFUSED_S: Final = 60.0  # a 401, or a lease that someone holds, seldom goes away
_WRITE_S: Final = 60.0  # for stopping a run: a later command can do that too
_TOLD_EACH_S: Final = 60.0
_SHORTEST_PAUSE_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 10.0
_LOCAL_PAUSE_S: Final = 0.5
_NO_TIME_S: Final = 0.001  # what rounding errors leave of a limit


class Absence:
    """The time for which the target gave no usable answer to one caller.

    `what` says in progress lines what is not known meanwhile. The caller gives up after `lost_after_s`; sooner if the
    target is the local engine, or if it answers and refuses.
    """

    def __init__(self, context: Context, what: str, *, lost_after_s: float) -> None:
        self._context = context
        self._what = what
        self._lost_after_s = lost_after_s
        self._since: float | None = None
        self._refused_since: float | None = None
        self._told_at: float | None = None
        self._last: ReconcilerError | None = None

    @property
    def is_under_way(self) -> bool:
        """Return whether the target gives no usable answer at present."""
        return self._since is not None

    @property
    def lasted(self) -> str:
        """Return for how long there was no usable answer, in words."""
        return f"no usable answer for {spelled(self._lasted_s)}"

    async def ask(self, look: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """Return what `look` returns; None, after a pause, if it failed.

        Raises its error when it is time to give up.
        """
        began = self._now
        looking = asyncio.create_task(look())
        try:
            while True:
                await asyncio.wait({looking}, timeout=self._until_told_s(began))
                if looking.done():
                    break
                self._note(self._last or ApiError("no answer yet", kind=ApiErrorKind.UNCLEAR), began)
            try:
                answer = looking.result()
            except ApiError as error:
                await self.endure(error, began=began)
                return None
            self.end()
            return answer
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def endure(self, error: ReconcilerError, *, began: float | None = None, at_most_s: float = math.inf) -> None:
        """Back off after a failed read, and report it once a minute.

        Raises the error when it is time to give up. `began` is the monotonic time at which the read began, default now.
        """
        began = self._now if began is None else began
        self._note(error, began)
        await self._context.clock.sleep(min(self._left_s, self._pause_s, self._until_told_s(began), at_most_s))

    def end(self) -> None:
        """Note that there was an answer."""
        if self._since is not None:
            self._context.emit(f"{self._what}: answered again after {spelled(self._lasted_s)}")
        self._since = self._refused_since = self._told_at = self._last = None

    def _note(self, error: ReconcilerError, began: float) -> None:
        self._last = error
        self._since = began if self._since is None else self._since
        is_passing = isinstance(error, ApiError) and error.is_passing
        self._refused_since = None if is_passing else began if self._refused_since is None else self._refused_since
        if self._left_s <= 0:
            if self._context.local:
                error.hint = f"`{self._context.local.start}` starts the engine again"
            raise error
        if self._told_at is None or self._now - self._told_at >= _TOLD_EACH_S:
            self._told_at = self._now
            lasted = f" for {spelled(self._lasted_s)}" if self._lasted_s >= _TOLD_EACH_S else ""
            self._context.emit(f"{self._what}{lasted}: {error.message}; retrying for another {spelled(self._left_s)}")

    @property
    def _now(self) -> float:
        return self._context.clock.monotonic()

    @property
    def _lasted_s(self) -> float:
        return 0.0 if self._since is None else self._now - self._since

    @property
    def _left_s(self) -> float:
        most_s = min(self._lost_after_s, _LOCAL_ENGINE_S) if self._context.local else self._lost_after_s
        left_s = most_s - self._lasted_s
        if self._refused_since is not None:
            left_s = min(left_s, _REFUSED_S - (self._now - self._refused_since))
        return left_s if left_s >= _NO_TIME_S else 0.0

    def _until_told_s(self, began: float) -> float:
        """Return the seconds until the next report, or until giving up."""
        told_at = began if self._told_at is None else self._told_at
        until_s = max(_NO_TIME_S, told_at + _TOLD_EACH_S - self._now)
        return until_s if self._since is None else min(until_s, self._left_s)

    @property
    def _pause_s(self) -> float:
        """Return the seconds between two attempts: short at first, longer after a while."""
        if self._context.local:
            return _LOCAL_PAUSE_S
        return min(_LONGEST_PAUSE_S, max(_SHORTEST_PAUSE_S, self._lasted_s / 10))


async def do_patiently(
    context: Context, what: str, work: Callable[[], Coroutine[Any, Any, T]], *, lost_after_s: float
) -> T:
    """Return what `work` returns.

    Retry it for a minute if it fails, then raise its error.
    """
    absence = Absence(context, what, lost_after_s=min(lost_after_s, _WRITE_S))
    while True:
        try:
            return await work()
        except (ApiError, LeaseLostError) as error:
            await absence.endure(error)


def spelled(seconds: float) -> str:
    """Return the time in words, as in `45 s` and `30 min`."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
