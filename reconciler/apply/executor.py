"""Execute a plan: it knows edges, one limit on concurrency and a failure policy.

It decides nothing else. When a change may take one of the limit's places is the caller's to say, who knows the
platform's rate.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from reconciler.apply.announcements import Obstacle
from reconciler.apply.judge import entry
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


@dataclass(slots=True, kw_only=True)
class Stop:
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


async def execute(
    changes: tuple[Change, ...],
    perform: Perform,
    *,
    admit: Admit,
    defer: Defer,
    explain: Explain,
    parallelism: int,
    stop: Stop,
    on_end: Callable[[Entry], None],
) -> tuple[Entry, ...]:
    """Return one entry for each change, in their order.

    A change begins once all that it depends on is done. A dependency that failed, was skipped or is unknown skips the
    change; a deferred one does not, unless it keeps a volume that the change needs: that defers the change too. A
    creation waits for another one only until that is written, so that new machines are watched side by side. An
    unexpected error makes its own change unknown. Raises what `on_end` raises; the changes under way are cancelled
    then.
    """
    execution = _Execution(perform=perform, admit=admit, defer=defer, limit=PrioritySemaphore(parallelism), stop=stop)
    progress = {change.address: _Progress(change) for change in changes}

    async def run(one: _Progress) -> None:
        needed = [progress[address] for address in one.change.depends_on if address in progress]
        for other in needed:
            both_create = one.change.action is other.change.action is Action.CREATE
            await (other.written if both_create else other.ended).wait()
        try:
            one.entry = await execution.run(one, needed)
        except Exception as error:
            one.entry = entry(one.change, Status.UNKNOWN, explain(error))
        on_end(one.entry)
        one.written.set()
        one.ended.set()

    running = [asyncio.create_task(run(one)) for one in progress.values()]
    try:
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return tuple(one.entry for one in progress.values() if one.entry)


class _Progress:
    """How far a change is.

    It is `written` once nothing but the watching is left, `ended` once it has its entry.
    """

    def __init__(self, change: Change) -> None:
        self.change = change
        self.written = asyncio.Event()
        self.ended = asyncio.Event()
        self.entry: Entry | None = None


@dataclass(slots=True, kw_only=True)
class _Execution:
    perform: Perform
    admit: Admit
    defer: Defer
    limit: PrioritySemaphore
    stop: Stop
    down: dict[tuple[str, str], Entry] = field(default_factory=dict)  # by app and pool: who did not stay up

    async def run(self, one: _Progress, needed: list[_Progress]) -> Entry:
        change = one.change
        ends = [other.entry for other in needed if other.entry]
        blocking = next((end for end in ends if end.status not in {Status.DONE, Status.DEFERRED}), None)
        if blocking:
            why = f": {blocking.detail}" if blocking.detail else ""
            first = f"{blocking.slot.name} comes first and was not done{why}"
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
            is_held = False
            self.limit.release()
            one.written.set()

        try:
            if halt := self.stop.why or self._why_down(change):
                return entry(change, Status.SKIPPED, halt)
            ended = await self.perform(change, Course(tell_written=tell_written, cut=self.stop.interrupted))
            if ended.unhealthy:
                self.down.setdefault((change.slot.app, change.slot.pool), ended)
            return ended
        finally:
            if is_held:
                self.limit.release()

    def _why_down(self, change: Change) -> str | None:
        down = self.down.get((change.slot.app, change.slot.pool))
        return f"{down.slot.name} did not stay up, so nothing more of its service is changed" if down else None


def _kept_volume(change: Change, needed: list[_Progress]) -> str | None:
    """Return, in words, the volume that a deferred machine keeps; None if none."""
    for other in needed:
        shared = sorted(change.mounted & other.change.freed)
        if shared and other.entry and other.entry.status is Status.DEFERRED:
            return f"volume {', '.join(shared)} is still mounted by {other.entry.slot.name}: {other.entry.detail}"
    return None
