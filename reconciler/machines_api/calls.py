"""Describe a call of the API as a value; decide whether to repeat a failed call.

Pure, except for the clock of NewApps.

A call is repeated only if that is harmless: nothing had been sent, the server refused it by its rate limit, or the call
is idempotent. After any other failure the caller reads the machine before it sends anything.

An app that was just created is not known everywhere at once: for a minute the platform answers 404, 401, 422 or 500
"sql: no rows in result set". Only apps in NewApps are waited for; for any other app these answers are final.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from reconciler.clock import Clock
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.hidden import HidesFields
from reconciler.model.secret import Secret

CALL_TIMEOUT_S: Final = 10.0
_ATTEMPTS: Final = 4
_UNREACHABLE_ATTEMPTS: Final = 3
_FIRST_S: Final = 0.25
_LONGEST_S: Final = 4.0
_RATE_FIRST_S: Final = 1.0
_RETRY_AFTER_CAP_S: Final = 60.0
NEW_APP_S: Final = 60.0
_NEW_APP_PAUSE_S: Final = 1.0
# The call had no effect.
_REFUSED: Final = frozenset({ApiErrorKind.NOT_FOUND, ApiErrorKind.UNAUTHORIZED})
_REFUSED_AS: Final = frozenset({(ApiErrorKind.BAD_INPUT, 422), (ApiErrorKind.NOT_AN_API, 404)})


class Call(HidesFields, frozen=True, kw_only=True):
    """One call of the API.

    `what` names it in errors. The platform limits the rate of each `action` on each `identifier`.
    """

    _hidden = frozenset({"body"})

    method: str
    path: str
    what: str
    action: str
    identifier: str
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    nonce: Secret | None = None
    app: str | None = None  # the app that the call is about
    timeout_s: float = CALL_TIMEOUT_S
    is_repeatable: bool = False  # idempotent: sending it twice has the effect of sending it once
    is_sent_once: bool = False  # never repeated here: the caller does that
    is_list: bool = False  # its answer is long: `read` gets an iterator over its members
    has_reply: bool = True  # False: a 2xx with any body is enough
    on_headers: Callable[[Mapping[str, str]], None] | None = None  # gets those of the answer, if it is a good one
    on_flight: Callable[[bool], None] | None = None  # True before each sending; False once it certainly had no effect


def app_path(app: str) -> str:
    """Return the path of an app."""
    return f"/v1/apps/{quote(app, safe='')}"


def on_machine(method: str, app: str, machine_id: str, action: str, path: str = "", **details: Any) -> Call:
    """Return a call on one machine; `details` are further fields of Call."""
    return Call(
        method=method,
        path=f"{app_path(app)}/machines/{quote(machine_id, safe='')}{path}",
        what=f"{action.replace('_', ' ')} {machine_id} of {app}",
        action=action,
        identifier=machine_id,
        app=app,
        **details,
    )


def nothing(_value: Any) -> None:
    """Read a reply of which only the status counts."""
    return


def delay_before_retry(
    kind: ApiErrorKind,
    *,
    is_repeatable: bool,
    attempt: int,
    elapsed_s: float,
    rate_patience_s: float,
    retry_after_s: float | None,
    jitter: float,
) -> float | None:
    """Return the seconds to back off before the next attempt; None to give up.

    `attempt` counts from 1; `jitter` is in [0, 1).
    """
    if kind is ApiErrorKind.RATE_LIMITED:
        if elapsed_s >= rate_patience_s:
            return None
        wanted = retry_after_s if retry_after_s is not None else _backoff(_RATE_FIRST_S, attempt, jitter)
        return min(wanted, _RETRY_AFTER_CAP_S, rate_patience_s - elapsed_s)
    if kind is ApiErrorKind.UNREACHABLE:
        return _backoff(_FIRST_S, attempt, jitter) if attempt < _UNREACHABLE_ATTEMPTS else None
    if kind is ApiErrorKind.UNCLEAR and is_repeatable and attempt < _ATTEMPTS:
        return _backoff(_FIRST_S, attempt, jitter)
    return None


def _backoff(first_s: float, attempt: int, jitter: float) -> float:
    return min(first_s * float(2 ** (attempt - 1)), _LONGEST_S) * (0.75 + jitter / 2)


def is_of_new_app(error: ApiError) -> bool:
    """Return whether the platform may refuse the call because the app is new.

    It refuses such calls until it knows the app everywhere.
    """
    return error.kind in _REFUSED or (error.kind, error.status) in _REFUSED_AS


class NewApps:
    """The apps that were created less than a minute ago."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def add(self, app: str) -> None:
        """Record that the app was created now."""
        self._until[app] = self._clock.monotonic() + NEW_APP_S

    def forget(self, app: str) -> None:
        """Record that the app was deleted."""
        self._until.pop(app, None)

    def is_new(self, app: str) -> bool:
        """Return whether the app may not be known everywhere yet."""
        return self._clock.monotonic() < self._until.get(app, 0.0)

    def delay_s(self, app: str, error: ApiError, *, is_repeatable: bool) -> float | None:
        """Return the seconds until a refused call on the app is sent again.

        None if the refusal is final.
        """
        may_repeat = is_of_new_app(error) or (error.is_unclear and is_repeatable)
        return _NEW_APP_PAUSE_S if may_repeat and self.is_new(app) else None
