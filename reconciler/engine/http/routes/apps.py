"""The routes of apps, and of their logs."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reconciler.engine.engine import Engine
from reconciler.engine.errors import bad_request
from reconciler.engine.http import serializers
from reconciler.engine.http.routes.base import Endpoint, body_of, ok
from reconciler.engine.models import RUNNING


async def _create(engine: Engine, request: Request) -> Response:
    body = await body_of(request, "createAppRequest")
    app = engine.create_app(body.get("name") or body.get("app_name"), body.get("org_slug"))
    return JSONResponse({"id": app.name, "created_at": app.created_ms}, status_code=201)


async def _list(engine: Engine, request: Request) -> Response:
    org = request.query_params.get("org_slug")
    apps = [_json(engine, app.name) for app in engine.store.apps.values() if org in {None, app.org}]
    return JSONResponse({"total_apps": len(apps), "apps": apps})


async def _get(engine: Engine, request: Request) -> Response:
    return JSONResponse(_json(engine, request.path_params["app"]))


async def _delete(engine: Engine, request: Request) -> Response:
    await engine.delete_app(request.path_params["app"])
    return ok(202)


async def _logs(engine: Engine, request: Request) -> Response:
    app = engine.app(request.path_params["app"])
    token = request.query_params.get("next_token") or None
    if token and not (token.isascii() and token.isdigit() and len(token) < 20):
        raise bad_request(f"invalid next_token: {token}")
    entries = engine.store.logs(app.name, request.query_params.get("instance"), int(token) if token else None)
    region = request.query_params.get("region")
    shown = [entry for entry in entries if not region or entry.region == region]
    return JSONResponse(serializers.logs_json(shown, token))


def _json(engine: Engine, name: str) -> dict[str, Any]:
    machines = engine.machines(name)
    is_running = any(machine.state in RUNNING for machine in machines)
    return serializers.app_json(engine.app(name), len(machines), len(engine.volumes.of(name)), is_running=is_running)


ENDPOINTS: Final = (
    Endpoint("GET", "/apps", "list_apps", _list),
    Endpoint("POST", "/apps", "create_app", _create),
    Endpoint("GET", "/apps/{app}", "get_app", _get),
    Endpoint("DELETE", "/apps/{app}", "delete_app", _delete),
)
LOGS: Final = Endpoint("GET", "/api/v1/apps/{app}/logs", "logs", _logs)
