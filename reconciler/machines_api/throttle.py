"""Client-side pacing: a token bucket for each action and identifier, as the platform documents its limits."""

import math
from typing import Final, NamedTuple

from reconciler.clock import Clock


class _Rate(NamedTuple):
    per_second: float
    burst: float


_DEFAULT: Final = _Rate(1.0, 3.0)
_GET: Final = _Rate(5.0, 10.0)


class Throttle:
    """Waits where a call would exceed the limits: 1/s for each action and id, burst 3; 5/s, burst 10 for a GET."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: dict[tuple[str, str], float] = {}

    async def pass_through(self, action: str, identifier: str) -> None:
        """Returns when the call may be sent. Calls that wait are let through in their order."""
        rate = _GET if action == "get_machine" else _DEFAULT
        now = self._clock.monotonic()
        key = (action, identifier)
        # The moment at which the bucket was, or will be, full less this call.
        earliest = max(self._ready.get(key, -math.inf), now - (rate.burst - 1) / rate.per_second)
        self._ready[key] = earliest + 1 / rate.per_second
        await self._clock.sleep(max(0.0, earliest - now))
