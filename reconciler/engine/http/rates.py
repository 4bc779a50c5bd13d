"""The documented rate limits, as the server counts them: 1/s for each action on each id, burst 3; 5/s, burst 10 for
reading one machine.
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
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}  # tokens, when they were counted

    def admits(self, action: str, identifier: str) -> bool:
        """Whether one more call is within the rate; counts it where it is."""
        per_second, burst = (_GET_PER_SECOND, _GET_BURST) if action == "get" else (_PER_SECOND, _BURST)
        now = self._clock.monotonic()
        tokens, counted = self._buckets.get((action, identifier), (burst, now))
        tokens = min(burst, tokens + (now - counted) * per_second)
        is_within = tokens >= 1.0 - 1e-9
        self._buckets[action, identifier] = (tokens - 1.0 if is_within else tokens, now)
        return is_within
