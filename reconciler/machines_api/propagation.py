"""Waiting until an app that was just created is known everywhere. Only apps that are named here are waited for.

The platform answers for a new app in many ways: 404, 401, 422, 500 "sql: no rows in result set". Of any other app the
same answers are what they say.
"""

from typing import Final

from reconciler.clock import Clock
from reconciler.errors import ApiError, ApiErrorKind

LONGEST_S: Final = 60.0
_PAUSE_S: Final = 1.0
# Nothing was done.
_REFUSED: Final = frozenset({ApiErrorKind.NOT_FOUND, ApiErrorKind.UNAUTHORIZED})
_REFUSED_AS: Final = frozenset({(ApiErrorKind.BAD_INPUT, 422), (ApiErrorKind.NOT_AN_API, 404)})


class NewApps:
    """The apps that were just created, each until a minute has passed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def add(self, app: str) -> None:
        """The app was created now."""
        self._until[app] = self._clock.monotonic() + LONGEST_S

    def is_new(self, app: str) -> bool:
        """Whether the app may not be known everywhere yet."""
        return self._clock.monotonic() < self._until.get(app, 0.0)

    def delay_s(self, app: str, error: ApiError, *, is_repeatable: bool) -> float | None:
        """Seconds until a refused call on the app is sent again; None where the refusal is to be believed."""
        is_refused = error.kind in _REFUSED or (error.kind, error.status) in _REFUSED_AS
        may_repeat = is_refused or (error.is_unclear and is_repeatable)
        return _PAUSE_S if may_repeat and self.is_new(app) else None
