"""Count calls against the documented rate limits.

One call per second of each action on each id, with a burst of 3; for reading one machine 5 per second, burst 10.
"""

from typing import Final

from reconciler.clock import Clock

_PER_SECOND: Final = 1.0
_BURST: Final = 3.0
_GET_PER_SECOND: Final = 5.0
_GET_BURST: Final = 10.0


class Rates:
    """A token bucket for each action and identifier."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}  # tokens, and when they were counted

    def admits(self, action: str, identifier: str) -> bool:
        """Whether one more call is within the rate limit; counts it if so."""
        per_second, burst = (_GET_PER_SECOND, _GET_BURST) if action == "get" else (_PER_SECOND, _BURST)
        now = self._clock.monotonic()
        tokens, counted = self._buckets.get((action, identifier), (burst, now))
        tokens = min(burst, tokens + (now - counted) * per_second)
        is_within = tokens >= 1.0 - 1e-9
        self._buckets[action, identifier] = (tokens - 1.0 if is_within else tokens, now)
        return is_within
