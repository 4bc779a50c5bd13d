"""Allocate the IP addresses of a plan, one after the other in each app.

The changes of the plan go on meanwhile. An app's addresses are allocated once the app is there. The platform does not
prevent two addresses of a kind, so none is asked for twice. If the app has machines of ours, an apply holds the lease
of one of them meanwhile, so two applies do not allocate at once. In a new app, the apply that created it allocates. If
the effect of a call is unclear, the list of addresses tells. Only a `shared_v4` is asked for again, since an app has at
most one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from reconciler.apply.create_apps import AppCreations
from reconciler.apply.executor import Stop
from reconciler.apply.job import Locks
from reconciler.apply.judge import words_of
from reconciler.apply.options import Options
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model.change import ReasonCode
from reconciler.model.ip_address import IpAddress, IpKind
from reconciler.model.plan import IpAllocation, Plan
from reconciler.model.report import IpEntry, Status
from reconciler.slots.context import Context

_PAUSE_S: Final = 1.0
_LOOKS: Final = 10  # reads of the list before a missing address counts as not there
_ATTEMPTS: Final = 3
_NOT_KNOWN: Final = "no rows in result set"  # a 500 without effect: that server does not know the app yet
_IDEMPOTENT: Final = frozenset({IpKind.SHARED_V4})


class Allocations:
    """The allocations under way. `entries` are those that have ended."""

    def __init__(
        self, context: Context, plan: Plan, options: Options, stop: Stop, locks: Locks, creations: AppCreations
    ) -> None:
        self._context = context
        self._options = options
        self._stop = stop
        self._locks = locks
        self._creations = creations
        self.entries: list[IpEntry] = []
        due: dict[str, list[IpAllocation]] = {}
        for one in plan.allocations:
            due.setdefault(one.app, []).append(one)
        self.tasks: list[asyncio.Task[None]] = [asyncio.create_task(self._allocate_all(ones)) for ones in due.values()]

    async def _allocate_all(self, ones: list[IpAllocation]) -> None:
        """Allocate what one app is to get."""
        app, lock = ones[0].app, ones[0].machine_id
        if not await self._creations.is_there(app):
            self._end_all(ones, Status.SKIPPED, "its app could not be created")
        elif self._stop.why:
            self._end_all(ones, Status.SKIPPED, self._stop.why)
        else:
            try:
                if lock is None:
                    await self._allocate_each(ones)
                else:
                    await self._allocate_locked(ones, lock)
            except Exception as error:
                self._end_all(ones, Status.FAILED, self._context.explain(error))

    async def _allocate_locked(self, ones: list[IpAllocation], lock: str) -> None:
        """Allocate under the lease of a machine, if that is still there. Raises ApiError."""
        try:
            async with self._locks.hold(ones[0].app, lock):
                await self._allocate_each(ones)
        except ApiError as error:
            if error.kind is not ApiErrorKind.NOT_FOUND or self._has_ended(ones[0]):
                raise
            await self._allocate_each(ones)

    async def _allocate_each(self, ones: list[IpAllocation]) -> None:
        there = await self._already_there(ones)
        for one in ones:
            if one.kind in there:
                self._end(one, Status.DONE, "another apply had done it", there[one.kind])
            elif self._stop.why:
                self._end(one, Status.SKIPPED, self._stop.why)
            else:
                await self._allocate(one)

    async def _already_there(self, ones: list[IpAllocation]) -> dict[IpKind, str]:
        """Return which of these addresses the app has by now.

        If another apply created the app, wait a while for its addresses: that apply allocates them.
        """
        app = ones[0].app
        if app in self._creations.own:
            return {}
        kinds = {one.kind for one in ones}
        looks = _LOOKS if app in self._creations.tasks else 1
        for left in reversed(range(looks)):
            there = {one.kind: one.ip for one in await self._context.client.apps.addresses(app)}
            if kinds <= there.keys() or not left:
                break
            await self._context.clock.sleep(_PAUSE_S)
        return there

    async def _allocate(self, one: IpAllocation) -> None:
        """Send it. After an unclear reply look whether it is there."""
        for left in reversed(range(_ATTEMPTS if one.kind in _IDEMPOTENT else 1)):
            try:
                address = await self._sent(one)
            except ApiError as error:
                if not error.is_unclear:
                    self._end(one, Status.FAILED, words_of(error))
                    return
                if ip := await self._seen(one):
                    self._end(one, Status.DONE, ip=ip)
                    return
                if not left:
                    self._end(one, Status.UNKNOWN, f"whether it was allocated is unknown: {error.message}")
                    return
            else:
                self._end(one, Status.DONE, ip=address.ip)
                return

    async def _sent(self, one: IpAllocation) -> IpAddress:
        """Send it until the app is known, if that is new. Raises ApiError."""
        client = self._context.client
        while True:
            try:
                return await client.apps.allocate(one.app, one.kind)
            except ApiError as error:
                if _NOT_KNOWN not in error.message or not client.new_apps.is_new(one.app):
                    raise
            await self._context.clock.sleep(_PAUSE_S)

    async def _seen(self, one: IpAllocation) -> str | None:
        """Return the address once the app has one of the kind; None if none appears.

        A list that fails is read again, a few times.
        """
        for left in reversed(range(_LOOKS)):
            try:
                there = await self._context.client.apps.addresses(one.app)
            except ApiError:
                there = ()
            for address in there:
                if address.kind is one.kind:
                    return address.ip
            if left:
                await self._context.clock.sleep(_PAUSE_S)
        return None

    def _end_all(self, ones: list[IpAllocation], status: Status, detail: str) -> None:
        for one in ones:
            if not self._has_ended(one):
                self._end(one, status, detail)

    def _has_ended(self, one: IpAllocation) -> bool:
        return any((ended.app, ended.kind) == (one.app, one.kind) for ended in self.entries)

    def _end(self, one: IpAllocation, status: Status, detail: str = "", ip: str | None = None) -> None:
        is_lost = status is not Status.DONE and one.code is ReasonCode.PUBLIC_PORTS
        hint = "the app is there now, so a later plan allocates only what `addresses` declares" if is_lost else ""
        said = "; ".join(part for part in (detail, hint) if part)
        self.entries.append(IpEntry(app=one.app, kind=one.kind, status=status, detail=said, ip=ip))
        words = f"{one.app}: {one.kind} " + (f"allocated: {ip}" if status is Status.DONE else f"{status}: {said}")
        if self._options.is_failing_fast and status in {Status.FAILED, Status.UNKNOWN}:
            self._stop.request("an earlier change failed, so nothing new was begun")
        self._context.emit(words)


@asynccontextmanager
async def allocating(
    context: Context, plan: Plan, options: Options, stop: Stop, locks: Locks, creations: AppCreations
) -> AsyncIterator[Allocations]:
    """Allocate the plan's IP addresses during the block; at its end each has ended."""
    allocations = Allocations(context, plan, options, stop, locks, creations)
    try:
        yield allocations
        await asyncio.gather(*allocations.tasks)
    finally:
        for task in allocations.tasks:
            task.cancel()
        await asyncio.gather(*allocations.tasks, return_exceptions=True)
