"""Give the dashboard the token for a code that works once, for a short time.

The code comes in the page's address. Browsers keep addresses, in their history and where they restore a session from:
a token would be kept there as long as it is valid.
"""

import secrets
from typing import Final

from reconciler.clock import Clock
from reconciler.engine.engine import Engine
from reconciler.engine.errors import ApiFault
from reconciler.engine.http.messages import JSONResponse, Request, Response
from reconciler.engine.http.routes.base import Endpoint, body_of

_VALID_S: Final = 120.0
_MOST: Final = 100


class PageCodes:
    """The codes that were issued and not redeemed yet."""

    def __init__(self, clock: Clock, token: str) -> None:
        self._clock = clock
        self._token = token
        self._expires: dict[str, float] = {}

    def issue(self) -> str:
        """Return a new code. The oldest one expires where there are many."""
        code = secrets.token_urlsafe(32)
        self._expires[code] = self._clock.monotonic() + _VALID_S
        while len(self._expires) > _MOST:
            del self._expires[next(iter(self._expires))]
        return code

    def redeem(self, code: object) -> str:
        """Return the token for a code, which is then of no more use.

        Raises ApiFault (401) for one that is not known, was redeemed, or has expired.
        """
        expires = self._expires.pop(code, 0.0) if isinstance(code, str) else 0.0
        if self._clock.monotonic() >= expires:
            raise ApiFault(401, "unauthorized: this code is not known, was used already, or has expired")
        return self._token


def page_code_endpoints(codes: PageCodes) -> tuple[Endpoint, Endpoint]:
    """Return the endpoint that issues a code, and the public one that redeems it."""

    async def issue(_engine: Engine, _request: Request) -> Response:
        return JSONResponse({"code": codes.issue()}, headers={"Cache-Control": "no-store"})

    async def redeem(_engine: Engine, request: Request) -> Response:
        body = body_of(request, "pageTokenRequest")
        return JSONResponse({"token": codes.redeem(body.get("code"))}, headers={"Cache-Control": "no-store"})

    return Endpoint("POST", "/engine/page-codes", "page_code", issue), Endpoint(
        "POST", "/engine/page-tokens", "page_token", redeem
    )
