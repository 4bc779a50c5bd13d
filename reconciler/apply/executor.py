"""Execute the changes and the bookkeeping of a plan.

This knows edges, one limit on concurrency and a failure policy. It decides nothing else. The caller decides when a
change may take one of the limit's places, because the caller knows the platform's rate.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct, field

from reconciler.apply.judge import Obstacle, entry
from reconciler.apply.priority_semaphore import PrioritySemaphore
from reconciler.apply.watching import Course
from reconciler.model.change import Action, Change
from reconciler.model.report import Entry, Reason, Status

Admit: TypeAlias = Callable[[Change, PrioritySemaphore], Awaitable[Obstacle | None]]
"""Takes one of the limit's places as soon as the change may begin; else why it may not, and no place."""
Defer: TypeAlias = Callable[[Change], Awaitable[Entry]]
"""How a change ends that waits for a run in progress."""

Perform: TypeAlias = Callable[[Change, Course], Awaitable[Entry]]
"""Makes the change, and tells on its course that it is written."""
Explain: TypeAlias = Callable[[Exception], str]
"""What went wrong, in words, where an unexpected error ended a change."""


class Step(Protocol):
    """What is executed: it begins after the steps that it depends on."""

    @property
    def address(self) -> str:
        """Return its name, unique among the steps."""
        ...

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Return the addresses of the steps that come first."""
        ...


StepT = TypeVar("StepT", bound=Step)
EndT = TypeVar("EndT")


class Stop(Struct, kw_only=True):
    """Asks a running apply to begin nothing new; what is under way is finished.

    `has_begun` is set by the caller once changes may be under way.
    """

    has_begun: bool = field(default=False)
    why: str | None = field(default=None)
    is_interrupt: bool = field(default=False)
    requested: asyncio.Event = field(default_factory=asyncio.Event)
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)

    def request(self, why: str) -> None:
        """Ask for a reason of the apply's own; the first one counts."""
        self.why = self.why or why
        self.requested.set()

    def interrupt(self) -> None:
        """Ask from outside."""
        self.why, self.is_interrupt = "interrupted before it began", True
        self.requested.set()
        self.interrupted.set()


class Executor:
    """Executes all steps of one apply, under one limit."""

    def __init__(self, *, parallelism: int, stop: Stop, explain: Explain) -> None:
        self.limit: PrioritySemaphore = PrioritySemaphore(parallelism)
        self._stop = stop
        self._explain = explain

    async def make(
        self,
        changes: tuple[Change, ...],
        perform: Perform,
        *,
        admit: Admit,
        defer: Defer,
        on_end: Callable[[Entry], None],
    ) -> tuple[Entry, ...]:
        """Make the changes. Return one entry for each, in their order.

        A change begins once all that it depends on is done. A dependency that failed, was skipped or is unknown skips
        the change; a deferred one does not, unless it keeps a volume that the change needs: that defers the change too.
        A creation waits for another one only until that is written, so that new machines are watched side by side. An
        unexpected error makes its own change unknown. Raises what `on_end` raises; the changes under way are cancelled
        then.
        """
        making = _Making(perform=perform, admit=admit, defer=defer, limit=self.limit, stop=self._stop)

        async def run(one: _Progress[Change, Entry], needed: list[_Progress[Change, Entry]]) -> Entry:
            try:
                ended = await making.run(one, needed)
            except Exception as error:
                ended = entry(one.step, Status.UNKNOWN, self._explain(error))
            on_end(ended)
            return ended

        return tuple(await _execute(changes, run, is_enough_written=_both_create))

    async def keep(self, steps: Iterable[StepT], write: Callable[[StepT], Awaitable[str | None]]) -> tuple[str, ...]:
        """Keep the books. Return what could not be written, in words.

        A step begins once those that it depends on have ended, in whatever way: one that fails stops no other.
        """

        async def run(one: _Progress[StepT, str | None], _needed: object) -> str | None:
            async with self.limit:
                return await write(one.step)

        return tuple(why for why in await _execute(steps, run) if why)


class _Progress(Generic[StepT, EndT]):
    """How far a step is.

    It is `written` once nothing but the watching is left, `ended` once it has its end.
    """

    def __init__(self, step: StepT) -> None:
        self.step = step
        self.written = asyncio.Event()
        self.ended = asyncio.Event()
        self.end: EndT | None = None


def _never(_step: object, _other: object) -> bool:
    return False


def _both_create(change: Change, other: Change) -> bool:
    return change.action is other.action is Action.CREATE


async def _execute(
    steps: Iterable[StepT],
    run: Callable[[_Progress[StepT, EndT], list[_Progress[StepT, EndT]]], Awaitable[EndT]],
    *,
    is_enough_written: Callable[[StepT, StepT], bool] = _never,
) -> list[EndT]:
    """Run each step after those that it depends on; return the ends in their order.

    `is_enough_written` returns whether the first step only waits until the second one is written, not until it has
    ended. If `run` raises, this cancels the steps under way and raises the same.
    """
    progress = {step.address: _Progress[StepT, EndT](step) for step in steps}

    async def follow(one: _Progress[StepT, EndT]) -> EndT:
        needed = [progress[address] for address in one.step.depends_on if address in progress]
        for other in needed:
            is_enough = is_enough_written(one.step, other.step)
            await (other.written if is_enough else other.ended).wait()
        one.end = await run(one, needed)
        one.written.set()
        one.ended.set()
        return one.end

    running = [asyncio.create_task(follow(one)) for one in progress.values()]
    try:
        return await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class _Making(Struct, kw_only=True):
    perform: Perform
    admit: Admit
    defer: Defer
    limit: PrioritySemaphore
    stop: Stop
    down: dict[tuple[str, str], Entry] = field(default_factory=dict)  # by app and pool: who did not stay up

    async def run(self, one: _Progress[Change, Entry], needed: list[_Progress[Change, Entry]]) -> Entry:
        change = one.step
        ends = [other.end for other in needed if other.end]
        blocking = next((end for end in ends if end.status not in {Status.DONE, Status.DEFERRED}), None)
        if blocking:
            why = f": {blocking.detail}" if blocking.detail else ""
            first = f"{blocking.name} comes first and was not done{why}"
            return entry(change, Status.SKIPPED, first, reason=blocking.reason)
        if change.deferred:
            return await self.defer(change)
        if kept := _kept_volume(change, needed):
            return entry(change, Status.DEFERRED, kept, reason=Reason.RUN)
        if obstacle := await self.admit(change, self.limit):
            return entry(change, Status.SKIPPED, obstacle.detail, reason=obstacle.reason)
        is_held = True

        def tell_written() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self.limit.release()
            one.written.set()

        try:
            if halt := self.stop.why or self._why_down(change):
                return entry(change, Status.SKIPPED, halt)
            ended = await self.perform(
                change, Course(limit=self.limit, tell_written=tell_written, cut=self.stop.interrupted)
            )
            if ended.unhealthy:
                self.down.setdefault((change.slot.app, change.slot.pool), ended)
            return ended
        finally:
            if is_held:
                self.limit.release()

    def _why_down(self, change: Change) -> str | None:
        down = self.down.get((change.slot.app, change.slot.pool))
        return f"{down.slot.name} did not stay up, so nothing more of its service is changed" if down else None


def _kept_volume(change: Change, needed: list[_Progress[Change, Entry]]) -> str | None:
    """Return, in words, the volume that a deferred machine keeps; None if none."""
    for other in needed:
        shared = sorted(change.mounted & other.step.freed)
        if shared and other.end and other.end.status is Status.DEFERRED:
            return f"volume {', '.join(shared)} is still mounted by {other.step.name}: {other.end.detail}"
    return None
