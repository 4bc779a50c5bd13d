"""Throttle calls before they are sent, as the platform documents its limits.

A token bucket for each action and identifier. All waits for a rate limit happen here; one of more than five seconds is
announced.

The server counts a call when it arrives, at some time between our sending and its answer. We assume the latest possible
time, so that no pause is too short: our own pace never causes a 429. The cost is small: of many calls the last one is
delayed by at most the time that the first one took to arrive. Others share the limits (assumption A2).
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
_RESERVE: Final = 1.01  # each pause is 1 % longer, for a server whose clock is slower than ours
_LONGEST_WAY_S: Final = 0.25  # from sending a call to its arrival at the server
_WORTH_TELLING_S: Final = 5.0
_TOLD_EVERY_S: Final = 60.0

Notice: TypeAlias = Callable[[str], None]
"""Takes one line that says what is waited for."""


def notice_nothing(_line: str) -> None:
    """Ignore the notice."""


class Limit(Protocol):
    """A caller's own limit on concurrency, in which an urgent caller goes first."""

    async def acquire(self, *, is_urgent: bool = False) -> None:
        """Wait for a place."""
        ...

    def release(self) -> None:
        """Give the place back."""
        ...


class Ticket:
    """The right to send one call."""

    def __init__(self, bucket: "Bucket", number: int, latest: float) -> None:
        self.number = number
        self.latest = latest  # the latest time at which the server counts the call
        self._bucket = bucket

    def answered(self) -> None:
        """Report that the call was answered, or never will be. Call it once."""
        self._bucket.settle(self)


class Bucket:
    """The token bucket of one action on one identifier.

    It holds `burst` tokens and gets a new one every `pause_s`. The next call may be sent when this holds for each
    earlier call: since the server counted that one, a pause has passed for each call that came after it. The last
    `burst` calls need no pause.
    """

    def __init__(self, clock: Clock, rate: _Rate, announcement: "_Announcement") -> None:
        self._clock = clock
        self._announcement = announcement
        self._pause_s = _RESERVE / rate.per_second
        self._burst = rate.burst
        self._taken = 0
        self._under_way: set[Ticket] = set()
        self._settled = -math.inf  # the largest `_offset` of the answered calls
        self._prepaid: deque[Ticket] = deque()
        self._held_until = -math.inf
        self._turn = asyncio.Lock()
        self._lane = asyncio.Lock()

    async def pass_through(self, *, since: float | None = None) -> Ticket:
        """Wait until a call may be sent, in order of arrival.

        `since` is the monotonic time at which the server first refused this call by its rate limit.
        """
        if self._prepaid:
            return self._prepaid.popleft()
        since = self._clock.monotonic() if since is None else since
        async with self._turn:
            await self._until_ready(since)
            return self._take()

    async def enter(self, limit: Limit, stop: asyncio.Event) -> bool:
        """Wait until the next call may be sent, then take a place of `limit`.

        Return False once `stop` is set. A caller that waits for the bucket holds no place meanwhile, so that others can
        work. Afterwards it gets the next free place, before others: throttled work takes longest, so it starts first.
        The call that it sends next has its ticket already.
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
        """Let no call through for `seconds`: the server asked for that by Retry-After."""
        self._held_until = max(self._held_until, self._clock.monotonic() + seconds)

    def settle(self, ticket: Ticket) -> None:
        """Note that the call was answered: the server cannot count it later than now."""
        ticket.latest = min(ticket.latest, self._clock.monotonic())
        self._under_way.discard(ticket)
        self._settled = max(self._settled, self._offset(ticket))

    async def _until_ready(self, since: float) -> None:
        while (wait_s := self._wait_s()) > 0:
            self._announcement.make(since, wait_s)
            # In steps, as an answer that arrives meanwhile may let the next call go earlier.
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
            beyond = self._taken + 1 - self._burst  # calls before this number are not in the burst of the next one
            offsets = [self._offset(ticket) for ticket in self._under_way if ticket.number < beyond]
            ready_at = max(ready_at, max([self._settled, *offsets]) + beyond * self._pause_s)
        return ready_at - self._clock.monotonic()

    def _offset(self, ticket: Ticket) -> float:
        """Return the time of this call, less one pause for each call before it."""
        return ticket.latest - ticket.number * self._pause_s

    def _take(self) -> Ticket:
        ticket = Ticket(self, self._taken, self._clock.monotonic() + _LONGEST_WAY_S)
        self._taken += 1
        self._under_way.add(ticket)
        return ticket


class _Announcement:
    """Announce that calls of one action are throttled, at most once a minute."""

    def __init__(self, clock: Clock, action: str, notice: Notice) -> None:
        self._clock = clock
        self._call = action.replace("_", " ")
        self._notice = notice
        self._told_at = -math.inf

    def make(self, since: float, wait_s: float) -> None:
        """Announce a call that waits over five seconds, from `since` and `wait_s` more."""
        now = self._clock.monotonic()
        if now - since + wait_s <= _WORTH_TELLING_S or now - self._told_at < _TOLD_EVERY_S:
            return
        self._told_at = now
        how_long = f"{wait_s:.0f} s" if wait_s > _WORTH_TELLING_S else f"longer than {_WORTH_TELLING_S:.0f} s"
        self._notice(f"rate limited by the platform: {self._call!r} waits {how_long}")


class Throttle:
    """Keep calls within the platform's limits.

    For each action and identifier: 1/s with a burst of 3; for a GET of a machine 5/s with a burst of 10. Without
    `is_paced` there are no limits, and a call waits only if the server asked for it. `notice` gets a line about each
    wait of more than five seconds.
    """

    def __init__(self, clock: Clock, *, is_paced: bool, notice: Notice = notice_nothing) -> None:
        self._clock = clock
        self._is_paced = is_paced
        self._notice = notice
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._announcements: dict[str, _Announcement] = {}

    def bucket(self, action: str, identifier: str) -> Bucket:
        """Return the bucket that limits these calls."""
        key = (action, identifier)
        if key not in self._buckets:
            if action not in self._announcements:
                self._announcements[action] = _Announcement(self._clock, action, self._notice)
            self._buckets[key] = Bucket(self._clock, self._rate(action), self._announcements[action])
        return self._buckets[key]

    def pause_s(self, action: str) -> float:
        """Return the seconds between two such calls on one identifier after the burst.

        0 if there is no limit.
        """
        return _RESERVE / self._rate(action).per_second

    def _rate(self, action: str) -> _Rate:
        if not self._is_paced:
            return _UNLIMITED
        return _GET if action == "get_machine" else _DEFAULT
