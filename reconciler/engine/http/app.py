"""Answer requests: what is checked around the routes, and error replies."""

import logging
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Final

from reconciler.engine.engine import Engine
from reconciler.engine.errors import ApiFault
from reconciler.engine.faults.rules import api_fault
from reconciler.engine.http.admission import Admission, Rates
from reconciler.engine.http.asgi import ASGIApp, asgi_app
from reconciler.engine.http.fault_replies import fault_response, reply_under_faults
from reconciler.engine.http.messages import JSONResponse, Request, Respond, Response
from reconciler.engine.http.page_codes import PageCodes, page_code_endpoints
from reconciler.engine.http.router import Router
from reconciler.engine.http.routes import ENDPOINTS, UNKNOWN, WEB, Endpoint, graphql_endpoint, services_endpoint
from reconciler.engine.models import Address
from reconciler.engine.server.dashboard import DASHBOARD, EVENT_STREAM
from reconciler.engine.store.database import is_damage

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_PROPAGATING: Final = ("app_unknown", "unauthenticated", "app_without_rows")
"""The errors, by turns, of calls on an app that was created a moment ago: each of them has been seen."""
_DAMAGED: Final = "the engine's database is damaged"
_SAYS_MORE: Final = "`reconciler engine stop`, then `reconciler engine start` says what to do"
_REQUEST_ID_BYTES: Final = 13

_log = logging.getLogger("reconciler.engine")


def create_responder(engine: Engine, *, token: str, addresses: Callable[[], Sequence[Address]] = tuple) -> Respond:
    """Return what answers requests of holders of `token`.

    `addresses` returns where the ports of services are served.
    """
    router = Router()
    for endpoint in ENDPOINTS:
        for prefix in ("/v1", ""):
            router.add(prefix + endpoint.path, endpoint)
    issue, redeem = page_code_endpoints(PageCodes(engine.clock, token))
    for endpoint in (*WEB, graphql_endpoint(addresses), services_endpoint(addresses), EVENT_STREAM, issue):
        router.add(endpoint.path, endpoint)
    for endpoint in (DASHBOARD, redeem):
        router.add(endpoint.path, endpoint, is_public=True)
    return _Api(engine, token, router).respond


def create_engine_app(engine: Engine, *, token: str, addresses: Callable[[], Sequence[Address]] = tuple) -> ASGIApp:
    """Return the ASGI application of the engine: see `create_responder`."""
    return asgi_app(create_responder(engine, token=token, addresses=addresses))


class _Api:
    """What surrounds every handler."""

    def __init__(self, engine: Engine, token: str, router: Router) -> None:
        self._engine = engine
        self._router = router
        self._admission = Admission(token)
        self._rates = Rates(engine.clock) if engine.settings.limits_rates else None
        self._propagating = cycle(_PROPAGATING)

    async def respond(self, request: Request) -> Response:
        """Return the reply to the request.

        A public endpoint (the dashboard's page, and how it gets the token) needs no token.
        """
        if request.method not in _METHODS:
            return Response("Method Not Allowed", 405, {"Allow": ", ".join(sorted(_METHODS))}, "text/plain")
        found = self._router.find(request.method, request.path)
        endpoint = found.endpoint if found else UNKNOWN
        request.path_params = found.path_params if found else {}
        is_public = found is not None and found.is_public
        try:
            self._admission.check(request, is_public=is_public)
            if is_public:
                response = await endpoint.handler(self._engine, request)
            else:
                response = await reply_under_faults(self._engine, endpoint, request, self._answer)
        except ApiFault as fault:
            response = fault_response(fault)
        response.headers["fly-request-id"] = secrets.token_hex(_REQUEST_ID_BYTES)
        return response

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        """Return the handler's response, or the error that was raised as one."""
        try:
            if self._rates:
                self._check_rate(self._rates, endpoint, request)
            self._check_propagated(request)
            return await endpoint.handler(self._engine, request)
        except ApiFault as fault:
            return fault_response(fault)
        except sqlite3.Error as error:
            _log.error("the database refused %s %s: %s", request.method, request.path, error)
            said = f"{_DAMAGED}: {error}; {_SAYS_MORE}" if is_damage(error) else f"the engine cannot write: {error}"
            return JSONResponse({"error": f"unavailable: {said}"}, status_code=503)
        except Exception as error:
            _log.exception("%s %s failed", request.method, request.path)
            return JSONResponse({"error": f"unknown: {type(error).__name__}: {error}"}, status_code=500)

    def _check_rate(self, rates: Rates, endpoint: Endpoint, request: Request) -> None:
        identifier = str(request.path_params.get("machine") or request.path_params.get("app") or "")
        if not rates.admits(endpoint.call, identifier):
            raise api_fault("rate_limited")

    def _check_propagated(self, request: Request) -> None:
        """Raise ApiFault for a call on an app that is not known everywhere yet."""
        if self._engine.is_propagating(request.path_params.get("app", "")):
            raise api_fault(next(self._propagating))
