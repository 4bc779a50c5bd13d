"""Check who calls: only loopback host names, and holders of the token."""

import hmac
import re
from typing import Final

from starlette.requests import Request

from reconciler.engine.errors import ApiFault

_SCHEME: Final = re.compile(r"^(\s*(bearer|flyv1)\s+)+", re.IGNORECASE)
_LOOPBACK: Final = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\]|testserver)(:\d+)?", re.IGNORECASE)


def check_host(request: Request) -> None:
    """Raise ApiFault (403) unless the Host header names loopback.

    A web page in a browser of this computer could otherwise reach the engine by a DNS name that resolves to 127.0.0.1.
    """
    if not _LOOPBACK.fullmatch(request.headers.get("host", "")):
        raise ApiFault(403, "forbidden: this engine answers to loopback names only")


def check_token(request: Request, token: str) -> None:
    """Raise ApiFault (401) unless the request carries the token."""
    given = _SCHEME.sub("", request.headers.get("authorization", "")).strip()
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise ApiFault(401, "unauthorized: missing or wrong token")
