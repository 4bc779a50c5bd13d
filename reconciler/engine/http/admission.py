"""Decide who may call, and how often.

Only loopback host names, no web page but the engine's own, and holders of the token; within the documented rate
limits, if the engine keeps them. These are one call per second of each action on each id, with a burst of 3; for
reading one machine 5 per second, burst 10.
"""

import hmac
import re
from typing import Final

from reconciler.clock import Clock
from reconciler.engine.errors import ApiFault
from reconciler.engine.http.messages import Request

_SCHEME: Final = re.compile(r"^(\s*(bearer|flyv1)\s+)+", re.IGNORECASE)
_LOOPBACK: Final = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.IGNORECASE)
_PER_SECOND: Final = 1.0
_BURST: Final = 3.0
_GET_PER_SECOND: Final = 5.0
_GET_BURST: Final = 10.0


class Admission:
    """The checks of who calls.

    They come first: no fault rule acts for a caller who may not call.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._host: str | None = None  # the last one that named loopback: most clients use one

    def check(self, request: Request, *, is_public: bool) -> None:
        """Raise ApiFault for a caller who may not call; a public page needs no token."""
        host = request.header(b"host") or ""
        self._check_host(host)
        _check_origin(request, host)
        if not is_public:
            self._check_token(request.header(b"authorization") or "")

    def _check_host(self, host: str) -> None:
        """Raise ApiFault (403) unless the Host header names loopback.

        A web page in a browser of this computer could otherwise reach the engine by a DNS name that resolves to
        127.0.0.1.
        """
        if host == self._host:
            return
        if not _LOOPBACK.fullmatch(host):
            raise ApiFault(403, "forbidden: this engine answers to loopback names only")
        self._host = host

    def _check_token(self, authorization: str) -> None:
        """Raise ApiFault (401) unless the header carries the token."""
        given = _SCHEME.sub("", authorization).strip()
        if not hmac.compare_digest(given.encode(), self._token):
            raise ApiFault(401, "unauthorized: missing or wrong token")


def _check_origin(request: Request, host: str) -> None:
    """Raise ApiFault (403) for a request of a web page that is not the engine's own.

    A browser says where the page of a script or a form is from. Other clients say nothing.
    """
    origin = request.header(b"origin")
    if origin is not None and origin.lower() != f"http://{host}".lower():
        raise ApiFault(403, "forbidden: this engine answers to no web page but its own")


class Rates:
    """A token bucket for each action and identifier."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}  # tokens, and when they were counted

    def admits(self, action: str, identifier: str) -> bool:
        """Return whether one more call is within the rate limit; counts it if so."""
        per_second, burst = (_GET_PER_SECOND, _GET_BURST) if action == "get" else (_PER_SECOND, _BURST)
        now = self._clock.monotonic()
        tokens, counted = self._buckets.get((action, identifier), (burst, now))
        tokens = min(burst, tokens + (now - counted) * per_second)
        is_within = tokens >= 1.0 - 1e-9
        self._buckets[action, identifier] = (tokens - 1.0 if is_within else tokens, now)
        return is_within
