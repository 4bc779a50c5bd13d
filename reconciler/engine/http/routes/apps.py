"""The routes of apps, their logs, their IP addresses, and their secrets."""

from typing import Any, Final

from reconciler.engine.engine import Engine
from reconciler.engine.errors import bad_request
from reconciler.engine.http import serializers
from reconciler.engine.http.messages import JSONResponse, Request, Response
from reconciler.engine.http.routes.base import Endpoint, app_of, body_of, flag_of, ok
from reconciler.engine.http.routes.pages import page_of

_MOST_APPS: Final = 5000


async def _create(engine: Engine, request: Request) -> Response:
    body = body_of(request, "createAppRequest")
    app = engine.create_app(
        body.get("name") or body.get("app_name"),
        body.get("org_slug"),
        network=body.get("network"),
        idempotency_key=body.get("idempotency_key"),
    )
    return JSONResponse(_json(engine, app.name) | {"created_at": app.created_ms}, status_code=201)


async def _list(engine: Engine, request: Request) -> Response:
    org = request.query_params.get("org_slug")
    apps = [app for app in engine.store.apps.values() if org in {None, app.org}]
    page = page_of(engine, request, apps, lambda app: f"{app.created_ms:015}-{app.name}", most=_MOST_APPS)
    if page is None:
        return JSONResponse({"total_apps": len(apps), "apps": [_json(engine, app.name) for app in apps]})
    newest_ms = page.cursor.began_ms - engine.settings.latency.app_list_lag_s * 1000
    shown = [_json(engine, app.name) for app in page.items if app.created_ms <= newest_ms]
    more = {"next_cursor": page.following} if page.following else {}
    return JSONResponse({"total_apps": page.cursor.counted, "apps": shown} | more)


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
    return serializers.app_json(engine.app(name), engine.machines(name), len(engine.volumes.of(name)))


async def _list_secrets(engine: Engine, request: Request) -> Response:
    app = _app_at_version(engine, request)
    return JSONResponse({"secrets": [_secret_json(request, one) for one in engine.secrets.of(app)]})


async def _set_secrets(engine: Engine, request: Request) -> Response:
    app = app_of(engine, request)
    values = (body_of(request, "updateSecretsRequest")).get("values")
    if not isinstance(values, dict):
        raise bad_request("values is required: an object")
    version = engine.secrets.set(app, values)
    secrets = [serializers.secret_json(one) for one in engine.secrets.of(app)]
    return JSONResponse({"secrets": secrets} | _versions(version))


async def _get_secret(engine: Engine, request: Request) -> Response:
    app = _app_at_version(engine, request)
    return JSONResponse(_secret_json(request, engine.secrets.one(app, request.path_params["name"])))


async def _set_secret(engine: Engine, request: Request) -> Response:
    app, name = app_of(engine, request), request.path_params["name"]
    value = (body_of(request, "setSecretRequest")).get("value")
    if not isinstance(value, str):
        raise bad_request("value is required: a string")
    version = engine.secrets.set(app, {name: value})
    return JSONResponse(serializers.secret_json(engine.secrets.one(app, name)) | _versions(version), status_code=201)


async def _delete_secret(engine: Engine, request: Request) -> Response:
    app, name = app_of(engine, request), request.path_params["name"]
    engine.secrets.one(app, name)
    return JSONResponse(_versions(engine.secrets.set(app, {name: None})))


def _app_at_version(engine: Engine, request: Request) -> str:
    """Return the path's app.

    Raises ApiFault where its secrets have not reached the version that is asked for.
    """
    app = app_of(engine, request)
    query = request.query_params
    engine.secrets.check_version(app, query.get("min_version") or query.get("version"))
    return app


def _secret_json(request: Request, secret: Any) -> dict[str, Any]:
    return serializers.secret_json(secret, shows_value=flag_of(request, "show_secrets"))


async def _list_addresses(engine: Engine, request: Request) -> Response:
    return JSONResponse(
        {"ips": [serializers.address_json(one) for one in engine.addresses.of(app_of(engine, request))]}
    )


async def _assign_address(engine: Engine, request: Request) -> Response:
    app = app_of(engine, request)
    body = body_of(request, "assignIPRequest")
    return JSONResponse(serializers.address_json(engine.addresses.assign(app, body)))


async def _release_address(engine: Engine, request: Request) -> Response:
    engine.addresses.release(app_of(engine, request), request.path_params["ip"])
    return Response(status_code=204)


def _versions(version: int) -> dict[str, int]:
    """Return the version under both of the names that the API gives it."""
    return {"version": version, "Version": version}


ENDPOINTS: Final = (
    Endpoint("GET", "/apps", "list_apps", _list),
    Endpoint("POST", "/apps", "create_app", _create),
    Endpoint("GET", "/apps/{app}", "get_app", _get),
    Endpoint("DELETE", "/apps/{app}", "delete_app", _delete),
)
ADDRESSES: Final = (
    Endpoint("GET", "/apps/{app}/ip_assignments", "ip_assignments", _list_addresses),
    Endpoint("POST", "/apps/{app}/ip_assignments", "assign_ip", _assign_address),
    Endpoint("DELETE", "/apps/{app}/ip_assignments/{ip}", "release_ip", _release_address),
)
LOGS: Final = Endpoint("GET", "/api/v1/apps/{app}/logs", "logs", _logs)
SECRETS: Final = (
    Endpoint("GET", "/apps/{app}/secrets", "list_secrets", _list_secrets),
    Endpoint("POST", "/apps/{app}/secrets", "set_secrets", _set_secrets),
    Endpoint("GET", "/apps/{app}/secrets/{name}", "get_secret", _get_secret),
    Endpoint("POST", "/apps/{app}/secrets/{name}", "set_secrets", _set_secret),
    Endpoint("DELETE", "/apps/{app}/secrets/{name}", "set_secrets", _delete_secret),
)
