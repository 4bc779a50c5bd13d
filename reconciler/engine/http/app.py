"""The ASGI application: who may call, how often, what is to go wrong on purpose; then the route, then the reply."""

import hmac
import logging
import re
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.engine.engine import Engine
from reconciler.engine.errors import Refused
from reconciler.engine.faults.rules import NEVER_COMMITTED, REFUSALS, REPLY_FAULTS, ConnectionLost, Rule, refusal
from reconciler.engine.http.rates import Rates
from reconciler.engine.http.routes import ENDPOINTS, LOGS, UNKNOWN, Endpoint, services_endpoint
from reconciler.engine.models import Address
from reconciler.engine.server.dashboard import HAPPENINGS, PAGE
from reconciler.engine.store.database import is_damage

_SCHEME: Final = re.compile(r"^(\s*(bearer|flyv1)\s+)+", re.IGNORECASE)
_LOOPBACK: Final = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\]|testserver)(:\d+)?", re.IGNORECASE)
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
BEFORE_THE_CALL: Final = ("steal_lease", "lose_lease", "vanish", "foreign_start")
UNKNOWN_APP: Final = ("app_unknown", "unauthenticated", "app_without_rows")
_THIEF: Final = "someone else"
_CUT: Final = "reconciler.cut"
_DAMAGED: Final = "the engine's database is damaged"
_SAYS_MORE: Final = "`reconciler engine stop`, then `reconciler engine start` says what to do"

Answer = Callable[[], Awaitable[Response]]
_log = logging.getLogger("reconciler.engine")


def create_engine_app(engine: Engine, *, token: str, addresses: Callable[[], Sequence[Address]] = tuple) -> ASGIApp:
    """The ASGI application that serves the engine to holders of the token, on loopback names only; `addresses` tells
    where services are served.
    """
    service = _Service(engine, token)
    routes = [
        Route(prefix + endpoint.path, service.endpoint(endpoint), methods=[endpoint.method])
        for endpoint in ENDPOINTS
        for prefix in ("/v1", "")
    ]
    routes.append(Route(LOGS.path, service.endpoint(LOGS), methods=[LOGS.method]))
    own = (services_endpoint(addresses), HAPPENINGS)
    routes += [Route(one.path, service.endpoint(one), methods=[one.method]) for one in own]
    routes.append(Route(PAGE.path, service.endpoint(PAGE, is_open=True), methods=[PAGE.method]))
    routes.append(Route(UNKNOWN.path, service.endpoint(UNKNOWN), methods=_METHODS))
    return _cutting_connections(Starlette(routes=routes))


class _Service:
    def __init__(self, engine: Engine, token: str) -> None:
        self._engine = engine
        self._token = token
        self._rates = Rates(engine.clock) if engine.settings.limits_rates else None
        self._unknown = cycle(UNKNOWN_APP)

    def endpoint(self, endpoint: Endpoint, *, is_open: bool = False) -> Callable[[Request], Awaitable[Response]]:
        """What serves it; an open one without a token, which holds nothing that one would protect."""

        async def serve(request: Request) -> Response:
            if is_open:
                response = await self._open(endpoint, request)
            else:
                response = await self._struck(endpoint, request)
            response.headers["fly-request-id"] = secrets.token_hex(13)
            return response

        return serve

    async def _open(self, endpoint: Endpoint, request: Request) -> Response:
        try:
            self._check_host(request)
            return await endpoint.handler(self._engine, request)
        except Refused as refused:
            return _refused(refused)

    async def _struck(self, endpoint: Endpoint, request: Request) -> Response:
        """The reply, or what adversity makes of it."""

        async def answer() -> Response:
            return await self._answered(endpoint, request)

        adversity = self._engine.adversity
        number = adversity.next_request()
        if not adversity.rules:
            return await answer()
        where = self._place(endpoint, request) | {"request": number}
        if rule := adversity.find(BEFORE_THE_CALL, **where):
            await self._meddle(rule, request)
        rule = adversity.find((*REFUSALS, *REPLY_FAULTS), **where)
        return await _spoiled(rule, answer, self._engine) if rule else await answer()

    async def _answered(self, endpoint: Endpoint, request: Request) -> Response:
        """The handler's response, or the error that it raised as one."""
        try:
            self._admit(request)
            if self._rates and not self._rates.admits(endpoint.call, _identifier(request)):
                raise refusal("rate_limited")
            self._check_known(request)
            return await endpoint.handler(self._engine, request)
        except Refused as refused:
            return _refused(refused)
        except sqlite3.Error as error:
            _log.error("the database refused %s %s: %s", request.method, request.url.path, error)
            said = f"{_DAMAGED}: {error}; {_SAYS_MORE}" if is_damage(error) else f"the engine cannot write: {error}"
            return JSONResponse({"error": f"unavailable: {said}"}, status_code=503)
        except Exception as error:
            _log.exception("%s %s failed", request.method, request.url.path)
            return JSONResponse({"error": f"unknown: {type(error).__name__}: {error}"}, status_code=500)

    def _check_host(self, request: Request) -> None:
        if not _LOOPBACK.fullmatch(request.headers.get("host", "")):
            raise Refused(403, "forbidden: this engine answers to loopback names only")

    def _admit(self, request: Request) -> None:
        self._check_host(request)
        given = _SCHEME.sub("", request.headers.get("authorization", "")).strip()
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise Refused(401, "unauthorized: missing or wrong token")

    def _check_known(self, request: Request) -> None:
        """Refuses a call on an app that was created a moment ago, in one of the ways that have been seen."""
        if self._engine.is_propagating(request.path_params.get("app", "")):
            raise refusal(next(self._unknown))

    def _place(self, endpoint: Endpoint, request: Request) -> dict[str, Any]:
        """What a rule may ask of a request."""
        machine = self._engine.store.machine(request.path_params.get("machine", ""))
        return {
            "call": endpoint.call,
            "app": request.path_params.get("app", ""),
            "machine": machine.name if machine else "",
            "image": str(machine.config.get("image") or "") if machine else "",
        }

    async def _meddle(self, rule: Rule, request: Request) -> None:
        machine = self._engine.store.machine(request.path_params.get("machine", ""))
        if machine is None or machine.is_destroyed:
            return
        if rule.fault == "vanish":
            self._engine.vanish(machine)
        elif rule.fault == "foreign_start":
            await self._engine.start_unleased(machine)
        else:
            thief = _THIEF if rule.fault == "steal_lease" else None
            self._engine.leases.drop(machine, thief=thief, ttl_s=int(rule.seconds))


async def _spoiled(rule: Rule, answer: Answer, engine: Engine) -> Response:
    """What the rule makes of the reply."""
    fault = rule.fault
    if fault in NEVER_COMMITTED:
        return _Cut(fault)
    if fault in REFUSALS:
        if rule.is_committed:
            await answer()
        return _refused(refusal(fault))
    if fault == "late_request":
        await engine.clock.sleep(rule.seconds)
    response = await answer()
    match fault:
        case "lose_reply":
            return _Cut(fault)
        case "late_reply":
            await engine.clock.sleep(rule.seconds)
        case "html":
            return Response("<html><body>Sign in</body></html>", media_type="text/html")
        case "empty_list":
            return JSONResponse([])
        case "half_reply":
            content = bytes(response.body)
            return Response(content[: len(content) // 2], response.status_code, media_type=response.media_type)
    return response


def _refused(refused: Refused) -> Response:
    if refused.text.startswith("<"):
        return Response(refused.text, refused.status, media_type="text/html")
    return JSONResponse(refused.body(), status_code=refused.status)


def _identifier(request: Request) -> str:
    return str(request.path_params.get("machine") or request.path_params.get("app") or "")


class _Cut(Response):
    """No reply at all: the connection is to be cut."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault = fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_CUT] = self._fault


def _cutting_connections(app: ASGIApp) -> ASGIApp:
    """The application, with connections cut where it says so; without a reply uvicorn would send one of its own."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        if _CUT not in scope:
            return
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        if transport is None:  # served in process
            raise ConnectionLost(is_refused=scope[_CUT] == "refuse_connection")
        transport.abort()

    return serve
