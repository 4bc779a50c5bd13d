"""The routes: from a request to a call of the engine, and from what it gives to a reply.

Knows paths and JSON; what a call does is the engine's. Every route has the name that rates and faults know it by.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeAlias

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reconciler.engine import wire
from reconciler.engine.config import whole
from reconciler.engine.engine import Engine
from reconciler.engine.errors import Refused, bad_request, not_found
from reconciler.engine.records import RUNNING, Machine
from reconciler.engine.waits import Wait

NONCE: Final = "fly-machine-lease-nonce"
_MAX_BODY: Final = 8 * 1024 * 1024
_OK: Final = {"ok": True}

Handler: TypeAlias = Callable[[Engine, Request], Awaitable[Response]]


class Endpoint(NamedTuple):
    """One route. `call` is what its rate is limited by, and what a fault names."""

    method: str
    path: str
    call: str
    handler: Handler


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
        for machine in engine.listed_machines(
            request.path_params["app"], with_destroyed=_is_true(query.get("include_deleted"))
        )
        if (not states or machine.state in states)
        and query.get("region") in {None, "", machine.region}
        and wanted.items() <= (machine.config.get("metadata") or {}).items()
    ]
    is_summary = _is_true(query.get("summary"))
    return JSONResponse([_machine_json(engine, machine, is_summary=is_summary) for machine in machines])


async def _create_machine(engine: Engine, request: Request) -> Response:
    body = await _body(request, "createMachineRequest")
    return _machine(engine, engine.create(request.path_params["app"], body))


async def _get_machine(engine: Engine, request: Request) -> Response:
    return _machine(engine, engine.machine(*_names(request)))


async def _update_machine(engine: Engine, request: Request) -> Response:
    body = await _body(request, "updateMachineRequest")
    return _machine(engine, await engine.update(*_names(request), body, request.headers.get(NONCE)))


async def _delete_machine(engine: Engine, request: Request) -> Response:
    force = _is_true(request.query_params.get("force")) or _is_true(request.query_params.get("kill"))
    await engine.destroy(*_names(request), request.headers.get(NONCE), force=force)
    return JSONResponse(_OK)


async def _start(engine: Engine, request: Request) -> Response:
    return JSONResponse(await engine.start_machine(*_names(request), request.headers.get(NONCE)))


async def _stop(engine: Engine, request: Request) -> Response:
    body = await _body(request, "stopRequest")
    await engine.stop_machine(*_names(request), body, request.headers.get(NONCE))
    return JSONResponse(_OK)


async def _exec(engine: Engine, request: Request) -> Response:
    body = await _body(request, "execRequest")
    done = await engine.execute(*_names(request), body, request.headers.get(NONCE))
    return JSONResponse(
        {"exit_code": done.code, "exit_signal": done.signal or 0, "stdout": done.stdout, "stderr": done.stderr}
    )


async def _wait(engine: Engine, request: Request) -> Response:
    query = request.query_params
    wait = Wait(
        states=_states(request) or ["started"],
        timeout_s=whole(query.get("timeout") or "60", "timeout"),
        version=query.get("version") or query.get("instance_id"),
        from_event_id=query.get("from_event_id"),
    )
    machine = await engine.wait(*_names(request), wait)
    event_id = machine.events[0].id if machine.events else None
    return JSONResponse(_OK | {"state": machine.state, "version": machine.instance_id, "event_id": event_id})


async def _get_lease(engine: Engine, request: Request) -> Response:
    lease = engine.leases.current(engine.machine(*_names(request)))
    if lease is None:
        raise not_found("lease")
    return JSONResponse(wire.lease_json(lease, with_description=engine.settings.behaviour.tells_lease_description))


async def _take_lease(engine: Engine, request: Request) -> Response:
    body = await _body(request, "leaseRequest")
    ttl_s = whole(body.get("ttl") or request.query_params.get("ttl") or 0, "ttl")
    lease = engine.leases.take(
        *_names(request),
        ttl_s=ttl_s,
        description=str(body.get("description") or ""),
        nonce=request.headers.get(NONCE),
    )
    return JSONResponse(wire.lease_json(lease), status_code=201)


async def _release_lease(engine: Engine, request: Request) -> Response:
    engine.leases.release(*_names(request), request.headers.get(NONCE))
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
    limit = whole(request.query_params.get("limit") or "20", "limit")
    events = engine.machine(*_names(request)).events[: min(50, max(1, limit))]
    return JSONResponse([wire.event_json(event) for event in events])


async def _versions(engine: Engine, request: Request) -> Response:
    versions = engine.versions(*_names(request))
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
    return JSONResponse(_machine_json(engine, machine))


def _machine_json(engine: Engine, machine: Machine, *, is_summary: bool = False) -> dict[str, Any]:
    return wire.machine_json(
        machine,
        engine.leases.current(machine),
        is_summary=is_summary,
        is_unreachable=engine.is_unreachable(machine),
    )


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
# Served below /v1, and at the root for clients whose base URL has no version.
ENDPOINTS: Final = (
    Endpoint("GET", "/apps", "list_apps", _list_apps),
    Endpoint("POST", "/apps", "create_app", _create_app),
    Endpoint("GET", "/apps/{app}", "get_app", _get_app),
    Endpoint("DELETE", "/apps/{app}", "delete_app", _delete_app),
    Endpoint("GET", "/apps/{app}/machines", "list", _list_machines),
    Endpoint("POST", "/apps/{app}/machines", "create", _create_machine),
    Endpoint("GET", _M, "get", _get_machine),
    Endpoint("POST", _M, "update", _update_machine),
    Endpoint("DELETE", _M, "delete", _delete_machine),
    Endpoint("POST", f"{_M}/start", "start", _start),
    Endpoint("POST", f"{_M}/stop", "stop", _stop),
    Endpoint("POST", f"{_M}/exec", "exec", _exec),
    Endpoint("GET", f"{_M}/wait", "wait", _wait),
    Endpoint("GET", f"{_M}/lease", "get_lease", _get_lease),
    Endpoint("POST", f"{_M}/lease", "lease", _take_lease),
    Endpoint("DELETE", f"{_M}/lease", "release", _release_lease),
    Endpoint("GET", f"{_M}/metadata", "get_metadata", _get_metadata),
    Endpoint("GET", f"{_M}/metadata/{{key}}", "get_metadata", _get_metadata_key),
    Endpoint("POST", f"{_M}/metadata/{{key}}", "metadata", _set_metadata_key),
    Endpoint("DELETE", f"{_M}/metadata/{{key}}", "metadata", _delete_metadata_key),
    Endpoint("GET", f"{_M}/events", "events", _events),
    Endpoint("GET", f"{_M}/versions", "versions", _versions),
)
LOGS: Final = Endpoint("GET", "/api/v1/apps/{app}/logs", "logs", _logs)
UNKNOWN: Final = Endpoint("", "/{path:path}", "unknown", _unknown)
