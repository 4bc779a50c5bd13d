"""Whether and when a failed call is sent again. Pure.

A call is repeated only where a repeat is harmless: nothing had been sent, the server refused it for its rate, or the
call changes nothing. Everything else is the caller's to explain by looking.
"""

from typing import Final

from reconciler.errors import ApiErrorKind

_ATTEMPTS: Final = 4
_UNREACHABLE_ATTEMPTS: Final = 3
_FIRST_S: Final = 0.25
_LONGEST_S: Final = 4.0
_RATE_FIRST_S: Final = 1.0
_RETRY_AFTER_CAP_S: Final = 60.0


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
    """Seconds until the next try, None where there is none. `attempt` counts from 1; `jitter` is in [0, 1)."""
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
