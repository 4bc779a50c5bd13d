"""The routes: from a request to a call of the engine, and from its answer or refusal to a reply.

Knows HTTP and JSON; what a call does is the engine's.
"""

import hmac
import json
import logging
import re
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.engine import wire
from reconciler.engine.engine import Engine
from reconciler.engine.errors import Refused, bad_request, not_found
from reconciler.engine.records import RUNNING, Machine

_MAX_BODY: Final = 8 * 1024 * 1024
_NONCE: Final = "fly-machine-lease-nonce"
_SCHEME: Final = re.compile(r"^(\s*(bearer|flyv1)\s+)+", re.IGNORECASE)
_LOOPBACK: Final = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\]|testserver)(:\d+)?", re.IGNORECASE)
_OK: Final = {"ok": True}

Handler: TypeAlias = Callable[[Engine, Request], Awaitable[Response]]
_log = logging.getLogger("reconciler.engine")


def create_engine_app(engine: Engine, *, token: str) -> Starlette:
    """The ASGI application that serves the engine to holders of the token, on loopback names only."""

    def endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            response = await _answered(engine, request, handler, token)
            response.headers["fly-request-id"] = secrets.token_hex(13)
            return response

        return answer

    routes = [
        Route(prefix + path, endpoint(handler), methods=[method])
        for method, path, handler in _ROUTES
        for prefix in ("/v1", "")
    ]
    routes.append(Route("/api/v1/apps/{app}/logs", endpoint(_logs), methods=["GET"]))
    routes.append(Route("/{path:path}", endpoint(_unknown), methods=["GET", "POST", "PUT", "PATCH", "DELETE"]))
    return Starlette(routes=routes)


async def _answered(engine: Engine, request: Request, handler: Handler, token: str) -> Response:
    """The handler's response, or the error that it raised as one."""
    try:
        if not _LOOPBACK.fullmatch(request.headers.get("host", "")):
            raise Refused(403, "forbidden: this engine answers to loopback names only")
        given = _SCHEME.sub("", request.headers.get("authorization", "")).strip()
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise Refused(401, "unauthorized: missing or wrong token")
        return await handler(engine, request)
    except Refused as refused:
        return JSONResponse(refused.body(), status_code=refused.status)
    except sqlite3.Error as error:
        _log.exception("the database refused")
        return JSONResponse({"error": f"unavailable: the engine cannot write: {error}"}, status_code=503)
    except Exception as error:
        _log.exception("%s %s failed", request.method, request.url.path)
        return JSONResponse({"error": f"unknown: {type(error).__name__}: {error}"}, status_code=500)


async def _body(request: Request, type_name: str) -> dict[str, Any]:
    """The JSON object of a body, empty without one. Raises Refused."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MAX_BODY:
            raise Refused(413, f"the body is larger than {_MAX_BODY} bytes")
    if not content.strip():
        return {}
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        kind = "array" if isinstance(value, list) else type(value).__name__
        raise Refused(400, f"json: cannot unmarshal {kind} into Go value of type main.{type_name}")
    return value


async def _create_app(engine: Engine, request: Request) -> Response:
    body = await _body(request, "createAppRequest")
    app = engine.create_app(body.get("name") or body.get("app_name"), body.get("org_slug"))
    return JSONResponse({"id": app.name, "created_at": app.created_ms}, status_code=201)


async def _list_apps(engine: Engine, request: Request) -> Response:
    org = request.query_params.get("org_slug")
    apps = [_app_json(engine, app.name) for app in engine.store.apps.values() if org in {None, app.org}]
    return JSONResponse({"total_apps": len(apps), "apps": apps})


async def _get_app(engine: Engine, request: Request) -> Response:
    return JSONResponse(_app_json(engine, request.path_params["app"]))


async def _delete_app(engine: Engine, request: Request) -> Response:
    await engine.delete_app(request.path_params["app"])
    return JSONResponse(_OK, status_code=202)


async def _list_machines(engine: Engine, request: Request) -> Response:
    query = request.query_params
    states = _states(request)
    wanted = {key.removeprefix("metadata."): value for key, value in query.items() if key.startswith("metadata.")}
    machines = [
        machine
        for machine in engine.machines(
            request.path_params["app"], with_destroyed=_is_true(query.get("include_deleted"))
        )
        if (not states or machine.state in states)
        and query.get("region") in {None, "", machine.region}
        and wanted.items() <= (machine.config.get("metadata") or {}).items()
    ]
    is_summary = _is_true(query.get("summary"))
    body = [wire.machine_json(machine, engine.leases.current(machine), is_summary=is_summary) for machine in machines]
    return JSONResponse(body)


async def _create_machine(engine: Engine, request: Request) -> Response:
    body = await _body(request, "createMachineRequest")
    return _machine(engine, engine.create(request.path_params["app"], body))


async def _get_machine(engine: Engine, request: Request) -> Response:
    return _machine(engine, engine.machine(*_names(request)))


async def _update_machine(engine: Engine, request: Request) -> Response:
    body = await _body(request, "updateMachineRequest")
    return _machine(engine, await engine.update(*_names(request), body, request.headers.get(_NONCE)))


async def _delete_machine(engine: Engine, request: Request) -> Response:
    force = _is_true(request.query_params.get("force")) or _is_true(request.query_params.get("kill"))
    await engine.destroy(*_names(request), request.headers.get(_NONCE), force=force)
    return JSONResponse(_OK)


async def _start(engine: Engine, request: Request) -> Response:
    return JSONResponse(await engine.start_machine(*_names(request), request.headers.get(_NONCE)))


async def _stop(engine: Engine, request: Request) -> Response:
    body = await _body(request, "stopRequest")
    await engine.stop_machine(*_names(request), body, request.headers.get(_NONCE))
    return JSONResponse(_OK)


async def _wait(engine: Engine, request: Request) -> Response:
    query = request.query_params
    timeout = query.get("timeout") or "60"
    if not timeout.isdigit():
        raise bad_request(f"invalid timeout: {timeout}")
    machine = await engine.wait(
        *_names(request),
        states=_states(request) or ["started"],
        timeout_s=int(timeout),
        version=query.get("version") or query.get("instance_id"),
        from_event_id=query.get("from_event_id"),
    )
    event_id = machine.events[0].id if machine.events else None
    return JSONResponse(_OK | {"state": machine.state, "version": machine.instance_id, "event_id": event_id})


async def _get_lease(engine: Engine, request: Request) -> Response:
    lease = engine.leases.current(engine.machine(*_names(request)))
    if lease is None:
        raise not_found("lease")
    return JSONResponse(wire.lease_json(lease))


async def _take_lease(engine: Engine, request: Request) -> Response:
    body = await _body(request, "leaseRequest")
    ttl = body.get("ttl") or request.query_params.get("ttl") or 0
    try:
        ttl_s = int(ttl)
    except (TypeError, ValueError) as error:
        raise bad_request(f"invalid ttl: {ttl}") from error
    lease = engine.leases.take(
        *_names(request),
        ttl_s=ttl_s,
        description=str(body.get("description") or ""),
        nonce=request.headers.get(_NONCE),
    )
    return JSONResponse(wire.lease_json(lease), status_code=201)


async def _release_lease(engine: Engine, request: Request) -> Response:
    engine.leases.release(*_names(request), request.headers.get(_NONCE))
    return JSONResponse({"status": "success", "data": _OK})


async def _get_metadata(engine: Engine, request: Request) -> Response:
    return JSONResponse(engine.machine(*_names(request)).config.get("metadata") or {})


async def _get_metadata_key(engine: Engine, request: Request) -> Response:
    metadata = engine.machine(*_names(request)).config.get("metadata") or {}
    key = request.path_params["key"]
    if key not in metadata:
        raise not_found("metadata key")
    return JSONResponse({"value": metadata[key]})


async def _set_metadata_key(engine: Engine, request: Request) -> Response:
    body = await _body(request, "metadataRequest")
    engine.set_metadata(*_names(request), {request.path_params["key"]: body.get("value")})
    return Response(status_code=204)


async def _delete_metadata_key(engine: Engine, request: Request) -> Response:
    engine.set_metadata(*_names(request), {request.path_params["key"]: None})
    return Response(status_code=204)


async def _events(engine: Engine, request: Request) -> Response:
    limit = request.query_params.get("limit") or "20"
    if not limit.isdigit():
        raise bad_request(f"invalid limit: {limit}")
    events = engine.machine(*_names(request)).events[: min(50, max(1, int(limit)))]
    return JSONResponse([wire.event_json(event) for event in events])


async def _versions(engine: Engine, request: Request) -> Response:
    machine = engine.machine(*_names(request))
    versions = engine.store.versions(machine.id)
    return JSONResponse([{"version": version, "user_config": config} for version, config in versions])


async def _logs(engine: Engine, request: Request) -> Response:
    app = engine.app(request.path_params["app"])
    token = request.query_params.get("next_token") or None
    if token and not token.isdigit():
        raise bad_request(f"invalid next_token: {token}")
    entries = engine.store.logs(app.name, request.query_params.get("instance"), int(token) if token else None)
    return JSONResponse(wire.logs_json(entries, token))


async def _unknown(_engine: Engine, request: Request) -> Response:
    raise Refused(404, f"no such endpoint: {request.method} {request.url.path}")


def _machine(engine: Engine, machine: Machine) -> Response:
    return JSONResponse(wire.machine_json(machine, engine.leases.current(machine)))


def _app_json(engine: Engine, name: str) -> dict[str, Any]:
    machines = engine.machines(name)
    is_running = any(machine.state in RUNNING for machine in machines)
    return wire.app_json(engine.app(name), len(machines), is_running=is_running)


def _names(request: Request) -> tuple[str, str]:
    return request.path_params["app"], request.path_params["machine"]


def _states(request: Request) -> list[str]:
    """The states of repeated or comma-separated `state` parameters."""
    return [state for value in request.query_params.getlist("state") for state in value.split(",") if state]


def _is_true(value: str | None) -> bool:
    return value in {"true", "1"}


_M: Final = "/apps/{app}/machines/{machine}"
_ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/apps", _list_apps),
    ("POST", "/apps", _create_app),
    ("GET", "/apps/{app}", _get_app),
    ("DELETE", "/apps/{app}", _delete_app),
    ("GET", "/apps/{app}/machines", _list_machines),
    ("POST", "/apps/{app}/machines", _create_machine),
    ("GET", _M, _get_machine),
    ("POST", _M, _update_machine),
    ("DELETE", _M, _delete_machine),
    ("POST", f"{_M}/start", _start),
    ("POST", f"{_M}/stop", _stop),
    ("GET", f"{_M}/wait", _wait),
    ("GET", f"{_M}/lease", _get_lease),
    ("POST", f"{_M}/lease", _take_lease),
    ("DELETE", f"{_M}/lease", _release_lease),
    ("GET", f"{_M}/metadata", _get_metadata),
    ("GET", f"{_M}/metadata/{{key}}", _get_metadata_key),
    ("POST", f"{_M}/metadata/{{key}}", _set_metadata_key),
    ("DELETE", f"{_M}/metadata/{{key}}", _delete_metadata_key),
    ("GET", f"{_M}/events", _events),
    ("GET", f"{_M}/versions", _versions),
)
