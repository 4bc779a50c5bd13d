"""The routes of apps' secrets."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reconciler.engine.engine import Engine
from reconciler.engine.errors import bad_request
from reconciler.engine.http import serializers
from reconciler.engine.http.routes.base import Endpoint, app_of, body_of, flag_of


async def _list(engine: Engine, request: Request) -> Response:
    app = _app_at_version(engine, request)
    return JSONResponse({"secrets": [_json(request, one) for one in engine.secrets.of(app)]})


async def _set_all(engine: Engine, request: Request) -> Response:
    app = app_of(engine, request)
    values = (await body_of(request, "updateSecretsRequest")).get("values")
    if not isinstance(values, dict):
        raise bad_request("values is required: an object")
    version = engine.secrets.set(app, values)
    secrets = [serializers.secret_json(one) for one in engine.secrets.of(app)]
    return JSONResponse({"secrets": secrets} | _versions(version))


async def _get(engine: Engine, request: Request) -> Response:
    app = _app_at_version(engine, request)
    return JSONResponse(_json(request, engine.secrets.one(app, request.path_params["name"])))


async def _set(engine: Engine, request: Request) -> Response:
    app, name = app_of(engine, request), request.path_params["name"]
    value = (await body_of(request, "setSecretRequest")).get("value")
    if not isinstance(value, str):
        raise bad_request("value is required: a string")
    version = engine.secrets.set(app, {name: value})
    return JSONResponse(serializers.secret_json(engine.secrets.one(app, name)) | _versions(version), status_code=201)


async def _delete(engine: Engine, request: Request) -> Response:
    app, name = app_of(engine, request), request.path_params["name"]
    engine.secrets.one(app, name)
    return JSONResponse(_versions(engine.secrets.set(app, {name: None})))


def _app_at_version(engine: Engine, request: Request) -> str:
    app = app_of(engine, request)
    query = request.query_params
    engine.secrets.check_version(app, query.get("min_version") or query.get("version"))
    return app


def _json(request: Request, secret: Any) -> dict[str, Any]:
    return serializers.secret_json(secret, shows_value=flag_of(request, "show_secrets"))


def _versions(version: int) -> dict[str, int]:
    """Under both of the names that the API writes it with."""
    return {"version": version, "Version": version}


ENDPOINTS: Final = (
    Endpoint("GET", "/apps/{app}/secrets", "list_secrets", _list),
    Endpoint("POST", "/apps/{app}/secrets", "set_secrets", _set_all),
    Endpoint("GET", "/apps/{app}/secrets/{name}", "get_secret", _get),
    Endpoint("POST", "/apps/{app}/secrets/{name}", "set_secrets", _set),
    Endpoint("DELETE", "/apps/{app}/secrets/{name}", "set_secrets", _delete),
)
