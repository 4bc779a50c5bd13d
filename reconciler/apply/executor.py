"""Executes a plan: knows edges, one limit on concurrency and a failure policy, and decides nothing else.

When a change may take one of the limit's places is the caller's to say: it knows the platform's pace.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from reconciler.apply.entries import entry
from reconciler.apply.wants import Obstacle
from reconciler.machines_api.places import Places
from reconciler.model.plan import Change
from reconciler.model.report import Entry, Status

Admit: TypeAlias = Callable[[Change, Places], Awaitable[Obstacle | None]]
"""Takes one of the limit's places as soon as the change may begin; else why it may not, and no place."""
Defer: TypeAlias = Callable[[Change], Awaitable[Entry]]
"""How a change ends that waits for a run in progress."""


@dataclass(slots=True, kw_only=True)
class Stop:
    """Asks a running apply to begin nothing new; what is under way is finished."""

    why: str | None = field(default=None)
    is_interrupt: bool = field(default=False)
    requested: asyncio.Event = field(default_factory=asyncio.Event)

    def request(self, why: str) -> None:
        """For a reason of the apply's own; the first one counts."""
        self.why = self.why or why
        self.requested.set()

    def interrupt(self) -> None:
        """From outside."""
        self.why, self.is_interrupt = "interrupted before it began", True
        self.requested.set()


async def execute(
    changes: tuple[Change, ...],
    perform: Callable[[Change], Awaitable[Entry]],
    *,
    admit: Admit,
    defer: Defer,
    parallelism: int,
    stop: Stop,
    on_end: Callable[[Entry], None],
) -> tuple[Entry, ...]:
    """One entry for each change, in their order. A change begins once all that it depends on is done.

    A dependency that failed, was skipped or is unknown skips the change; a deferred one does not.
    """
    limit = Places(parallelism)
    known = {change.address for change in changes}
    tasks: dict[str, asyncio.Task[Entry]] = {}
    may_begin = asyncio.Event()

    async def run(change: Change) -> Entry:
        await may_begin.wait()
        needed = [tasks[address] for address in change.depends_on if address in known]
        ended = [await task for task in needed]
        ending = await _run_one(change, ended, perform, admit, defer, limit=limit, stop=stop)
        on_end(ending)
        return ending

    async with asyncio.TaskGroup() as group:
        for change in changes:
            tasks[change.address] = group.create_task(run(change))
        may_begin.set()
    return tuple(tasks[change.address].result() for change in changes)


async def _run_one(
    change: Change,
    ended: list[Entry],
    perform: Callable[[Change], Awaitable[Entry]],
    admit: Admit,
    defer: Defer,
    *,
    limit: Places,
    stop: Stop,
) -> Entry:
    blocking = next((one for one in ended if one.status not in {Status.DONE, Status.DEFERRED}), None)
    if blocking:
        why = f": {blocking.detail}" if blocking.detail else ""
        first = f"{blocking.slot.name} comes first and was not done{why}"
        return entry(change, Status.SKIPPED, first, reason=blocking.reason)
    if change.deferred:
        return await defer(change)
    if obstacle := await admit(change, limit):
        return entry(change, Status.SKIPPED, obstacle.detail, reason=obstacle.reason)
    try:
        return entry(change, Status.SKIPPED, stop.why) if stop.why else await perform(change)
    finally:
        limit.release()
