"""The ASGI application: what is checked around the routes, and error replies."""

import logging
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from reconciler.engine.engine import Engine
from reconciler.engine.errors import ApiFault
from reconciler.engine.faults.rules import api_fault
from reconciler.engine.http.admission import Rates, check_host, check_origin, check_token
from reconciler.engine.http.faults_middleware import drop_connections, fault_response, reply_under_faults
from reconciler.engine.http.page_codes import PageCodes, page_code_endpoints
from reconciler.engine.http.routes import ENDPOINTS, UNKNOWN, WEB, Endpoint, graphql_endpoint, services_endpoint
from reconciler.engine.models import Address
from reconciler.engine.server.dashboard import DASHBOARD, EVENT_STREAM
from reconciler.engine.store.database import is_damage

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_PROPAGATING: Final = ("app_unknown", "unauthenticated", "app_without_rows")
"""The errors, by turns, of calls on an app that was created a moment ago: each of them has been seen."""
_DAMAGED: Final = "the engine's database is damaged"
_SAYS_MORE: Final = "`reconciler engine stop`, then `reconciler engine start` says what to do"

_log = logging.getLogger("reconciler.engine")


def create_engine_app(engine: Engine, *, token: str, addresses: Callable[[], Sequence[Address]] = tuple) -> ASGIApp:
    """Return the ASGI application that serves the engine to holders of `token`.

    `addresses` returns where the ports of services are served.
    """
    api = _Api(engine, token)
    routes = [
        Route(prefix + endpoint.path, api.serve(endpoint), methods=[endpoint.method])
        for endpoint in ENDPOINTS
        for prefix in ("/v1", "")
    ]
    issue, redeem = page_code_endpoints(PageCodes(engine.clock, token))
    at_root = (*WEB, graphql_endpoint(addresses), services_endpoint(addresses), EVENT_STREAM, issue)
    routes += [Route(one.path, api.serve(one), methods=[one.method]) for one in at_root]
    public = (DASHBOARD, redeem)
    routes += [Route(one.path, api.serve(one, is_public=True), methods=[one.method]) for one in public]
    routes.append(Route(UNKNOWN.path, api.serve(UNKNOWN), methods=_METHODS))
    return drop_connections(Starlette(routes=routes))


class _Api:
    """What surrounds every handler."""

    def __init__(self, engine: Engine, token: str) -> None:
        self._engine = engine
        self._token = token
        self._rates = Rates(engine.clock) if engine.settings.limits_rates else None
        self._propagating = cycle(_PROPAGATING)

    def serve(self, endpoint: Endpoint, *, is_public: bool = False) -> Callable[[Request], Awaitable[Response]]:
        """Return the function that serves the endpoint.

        A public one (the dashboard's page, and how it gets the token) needs no token.
        """

        async def serve(request: Request) -> Response:
            async def answer() -> Response:
                return await self._answer(endpoint, request)

            try:
                self._admit(request, is_public=is_public)
                if is_public:
                    response = await endpoint.handler(self._engine, request)
                else:
                    response = await reply_under_faults(self._engine, endpoint, request, answer)
            except ApiFault as fault:
                response = fault_response(fault)
            response.headers["fly-request-id"] = secrets.token_hex(13)
            return response

        return serve

    def _admit(self, request: Request, *, is_public: bool) -> None:
        """Raise ApiFault for a caller who may not call.

        That comes first: no fault rule acts for them.
        """
        check_host(request)
        check_origin(request)
        if not is_public:
            check_token(request, self._token)

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        """Return the handler's response, or the error that was raised as one."""
        try:
            self._check_rate(endpoint, request)
            self._check_propagated(request)
            return await endpoint.handler(self._engine, request)
        except ApiFault as fault:
            return fault_response(fault)
        except sqlite3.Error as error:
            _log.error("the database refused %s %s: %s", request.method, request.url.path, error)
            said = f"{_DAMAGED}: {error}; {_SAYS_MORE}" if is_damage(error) else f"the engine cannot write: {error}"
            return JSONResponse({"error": f"unavailable: {said}"}, status_code=503)
        except Exception as error:
            _log.exception("%s %s failed", request.method, request.url.path)
            return JSONResponse({"error": f"unknown: {type(error).__name__}: {error}"}, status_code=500)

    def _check_rate(self, endpoint: Endpoint, request: Request) -> None:
        identifier = str(request.path_params.get("machine") or request.path_params.get("app") or "")
        if self._rates and not self._rates.admits(endpoint.call, identifier):
            raise api_fault("rate_limited")

    def _check_propagated(self, request: Request) -> None:
        """Raise ApiFault for a call on an app that is not known everywhere yet."""
        if self._engine.is_propagating(request.path_params.get("app", "")):
            raise api_fault(next(self._propagating))
