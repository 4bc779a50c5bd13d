"""Client-side pacing: a token bucket for each action and identifier, as the platform documents its limits.

Every wait for a rate happens here, and one of more than some seconds is announced.

The server counts a call when it arrives, which is some time between our sending it and its answer. A call is taken to
have been counted as late as that may have been, so that no pause is ever too short: no 429 comes of our own doing, and
of many calls the last is late by no more than the first one's way there. Others share the limits (assumption A2).
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeAlias

from reconciler.clock import Clock


class _Rate(NamedTuple):
    per_second: float
    burst: float


_DEFAULT: Final = _Rate(1.0, 3.0)
_GET: Final = _Rate(5.0, 10.0)
_UNLIMITED: Final = _Rate(math.inf, math.inf)
_RESERVE: Final = 1.01  # of each pause, for a server whose clock goes slower than ours
_LONGEST_WAY_S: Final = 0.25  # from our sending a call to its arrival
_WORTH_TELLING_S: Final = 5.0
_TOLD_EVERY_S: Final = 60.0

Notice: TypeAlias = Callable[[str], None]
"""Takes a line that says what is waited for."""


def notice_nothing(_line: str) -> None:
    """The notice of a caller who does not want any."""


class Limit(Protocol):
    """A caller's own limit on concurrency, which can let an urgent caller go first."""

    async def acquire(self, *, is_urgent: bool = False) -> None: ...

    def release(self) -> None: ...


class Ticket:
    """The right to send one call."""

    def __init__(self, bucket: "Bucket", number: int, latest: float) -> None:
        self.number = number
        self.latest = latest  # when the server counts it, at the latest
        self._bucket = bucket

    def answered(self) -> None:
        """The call has been answered, or will not be. To be said once."""
        self._bucket.settle(self)


class Bucket:
    """The calls of one action on one identifier.

    A bucket of `burst` tokens, one more each `pause_s`, has one left for the next call as soon as, for each earlier
    call, all calls since then have had the time that they need: the last `burst` of them none.
    """

    def __init__(self, clock: Clock, rate: _Rate, announcement: "_Announcement") -> None:
        self._clock = clock
        self._announcement = announcement
        self._pause_s = _RESERVE / rate.per_second
        self._burst = rate.burst
        self._taken = 0
        self._under_way: set[Ticket] = set()
        self._settled = -math.inf  # the largest of the answered ones, as `_offset` counts
        self._prepaid: deque[Ticket] = deque()
        self._held_until = -math.inf
        self._turn = asyncio.Lock()
        self._lane = asyncio.Lock()

    async def pass_through(self, *, since: float | None = None) -> Ticket:
        """Returns when a call may be sent. Calls that wait are let through in their order.

        `since` is when the server first refused the call for its rate, on the monotonic clock.
        """
        if self._prepaid:
            return self._prepaid.popleft()
        since = self._clock.monotonic() if since is None else since
        async with self._turn:
            await self._until_ready(since)
            return self._take()

    async def enter(self, limit: Limit, stop: asyncio.Event) -> bool:
        """True with one of the limit's places, once the next call may be sent at once: it has its ticket.

        Whoever waits for the bucket holds no place meanwhile, so that others go on beside it, and has the next one that
        is free afterwards: what is paced takes longest. False, and no place, once `stop` is set.
        """
        since = self._clock.monotonic()
        async with self._lane:
            while not stop.is_set():
                if (wait_s := self._wait_s()) > 0:
                    self._announcement.make(since, wait_s)
                    await self._sleep(min(wait_s, _LONGEST_WAY_S), stop)
                    continue
                await limit.acquire(is_urgent=True)
                if self._wait_s() <= 0:
                    self._prepaid.append(self._take())
                    return True
                limit.release()
        return False

    def hold(self, seconds: float) -> None:
        """Lets nothing through for so long: the server has asked for that."""
        self._held_until = max(self._held_until, self._clock.monotonic() + seconds)

    def settle(self, ticket: Ticket) -> None:
        """The call has been answered: it is not counted any later."""
        ticket.latest = min(ticket.latest, self._clock.monotonic())
        self._under_way.discard(ticket)
        self._settled = max(self._settled, self._offset(ticket))

    async def _until_ready(self, since: float) -> None:
        while (wait_s := self._wait_s()) > 0:
            self._announcement.make(since, wait_s)
            # In steps: an answer that comes meanwhile lets the next call go earlier.
            await self._clock.sleep(min(wait_s, _LONGEST_WAY_S))

    async def _sleep(self, seconds: float, stop: asyncio.Event) -> None:
        both = asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()

    def _wait_s(self) -> float:
        ready_at = self._held_until
        if math.isfinite(self._burst):
            beyond = self._taken + 1 - self._burst  # the first of the calls that are no part of the same burst
            offsets = [self._offset(ticket) for ticket in self._under_way if ticket.number < beyond]
            ready_at = max(ready_at, max([self._settled, *offsets]) + beyond * self._pause_s)
        return ready_at - self._clock.monotonic()

    def _offset(self, ticket: Ticket) -> float:
        """When the first call would have to be counted for this one to be due when it was."""
        return ticket.latest - ticket.number * self._pause_s

    def _take(self) -> Ticket:
        ticket = Ticket(self, self._taken, self._clock.monotonic() + _LONGEST_WAY_S)
        self._taken += 1
        self._under_way.add(ticket)
        return ticket


class _Announcement:
    """Says that the calls of one action wait for their rate, at most once a minute however many of them wait."""

    def __init__(self, clock: Clock, action: str, notice: Notice) -> None:
        self._clock = clock
        self._call = action.replace("_", " ")
        self._notice = notice
        self._told_at = -math.inf

    def make(self, since: float, wait_s: float) -> None:
        """A call waits since then, and will for so long still: said where that is more than some seconds."""
        now = self._clock.monotonic()
        if now - since + wait_s <= _WORTH_TELLING_S or now - self._told_at < _TOLD_EVERY_S:
            return
        self._told_at = now
        how_long = f"{wait_s:.0f} s" if wait_s > _WORTH_TELLING_S else f"longer than {_WORTH_TELLING_S:.0f} s"
        self._notice(f"rate limited by the platform: {self._call!r} waits {how_long}")


class Throttle:
    """Waits where a call would exceed the limits: 1/s for each action and id, burst 3; 5/s, burst 10 for a GET.

    Without `is_paced` it knows no limits, and waits only where the server has asked for it. `notice` is told of waits
    of more than five seconds.
    """

    def __init__(self, clock: Clock, *, is_paced: bool, notice: Notice = notice_nothing) -> None:
        self._clock = clock
        self._is_paced = is_paced
        self._notice = notice
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._announcements: dict[str, _Announcement] = {}

    def bucket(self, action: str, identifier: str) -> Bucket:
        key = (action, identifier)
        if key not in self._buckets:
            if action not in self._announcements:
                self._announcements[action] = _Announcement(self._clock, action, self._notice)
            self._buckets[key] = Bucket(self._clock, self._rate(action), self._announcements[action])
        return self._buckets[key]

    def pause_s(self, action: str) -> float:
        """The seconds between two such calls on one identifier, once the burst is over; 0 where there is no limit."""
        return _RESERVE / self._rate(action).per_second

    def _rate(self, action: str) -> _Rate:
        if not self._is_paced:
            return _UNLIMITED
        return _GET if action == "get_machine" else _DEFAULT
