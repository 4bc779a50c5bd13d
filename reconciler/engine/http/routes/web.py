"""The routes beside the Machines API: GraphQL, organizations, releases, builds.

Fly's own client calls them at `FLY_API_BASE_URL` and `FLY_UIEX_BASE_URL`.
"""

from typing import Any, Final

from reconciler.clock import now_ms
from reconciler.engine.config.read import whole_number
from reconciler.engine.engine import Engine
from reconciler.engine.errors import bad_request, not_found
from reconciler.engine.graphql.answers import EMAIL, PERSONAL, Addresses
from reconciler.engine.http.messages import JSONResponse, Request, Response
from reconciler.engine.http.routes.base import Endpoint, app_of, body_of
from reconciler.engine.http.serializers import time_text
from reconciler.engine.models import Release
from reconciler.engine.releases import is_in_progress


def graphql_endpoint(served: Addresses) -> Endpoint:
    """Return the route of GraphQL. `served` knows the local ports of services."""

    async def graphql(engine: Engine, request: Request) -> Response:
        from reconciler.engine.graphql.queries import execute

        return JSONResponse(await execute(engine, served, body_of(request, "graphqlRequest")))

    return Endpoint("POST", "/graphql", "graphql", graphql)


async def _organizations(engine: Engine, _request: Request) -> Response:
    return JSONResponse({"organizations": [_organization_json(slug) for slug in engine.organizations()]})


async def _organization(engine: Engine, request: Request) -> Response:
    slug = request.path_params["org"]
    if slug not in engine.organizations():
        raise not_found("organization")
    return JSONResponse({"organization": _organization_json(slug)})


async def _releases(engine: Engine, request: Request) -> Response:
    found = engine.releases.of(app_of(engine, request))
    limit = request.query_params.get("limit", "")
    shown = found[: whole_number(limit, "limit")] if limit.isascii() and limit.isdigit() else found
    return JSONResponse({"releases": [_release_json(one) for one in shown]})


async def _current_release(engine: Engine, request: Request) -> Response:
    found = engine.releases.of(app_of(engine, request))
    if not found:
        raise not_found("release")
    return JSONResponse(_release_json(found[0]))


async def _create_release(engine: Engine, request: Request) -> Response:
    body = body_of(request, "createReleaseRequest")
    name = body.get("app_name")
    if not isinstance(name, str) or not name:
        raise bad_request("app_name is required: a string")
    release = engine.releases.create(engine.app(name).name, body)
    return JSONResponse({"release": _release_json(release)}, status_code=201)


async def _update_release(engine: Engine, request: Request) -> Response:
    body = body_of(request, "updateReleaseRequest")
    return JSONResponse(_release_json(engine.releases.update(request.path_params["release"], body.get("status"))))


async def _create_build(engine: Engine, request: Request) -> Response:
    """Give the build a number.

    The client builds the image by itself or finds it in a registry, so nothing else is needed here.
    """
    body = body_of(request, "createBuildRequest")
    if name := body.get("app_name"):
        engine.app(str(name))
    return JSONResponse({"id": now_ms(engine.clock), "status": "started", "wallclock_time_ms": 0})


async def _finish_build(_engine: Engine, request: Request) -> Response:
    """Answer with the result of the build, as its client reports it."""
    body = body_of(request, "finishBuildRequest")
    timings = body.get("timings")
    took_ms = timings.get("build_and_push_ms") if isinstance(timings, dict) else 0
    told = {"id": body.get("build_id"), "status": body.get("status"), "wallclock_time_ms": took_ms or 0}
    return JSONResponse(told)


def _organization_json(slug: str) -> dict[str, Any]:
    return {
        "id": slug,
        "internal_numeric_id": 0,
        "slug": slug,
        "raw_slug": slug,
        "name": slug,
        "personal": slug == PERSONAL,
        "paid_plan": True,
        "billable": True,
        "billing_status": "CURRENT",
    }


def _release_json(one: Release) -> dict[str, Any]:
    return {
        "id": one.id,
        "version": one.version,
        "stable": not is_in_progress(one),
        "in_progress": is_in_progress(one),
        "status": one.status,
        "strategy": one.strategy,
        "user": EMAIL,
        "created_at": time_text(one.created_ms),
        "image_ref": one.image,
    }


WEB: Final = (
    Endpoint("GET", "/api/v1/organizations", "organizations", _organizations),
    Endpoint("GET", "/api/v1/organizations/{org}", "organizations", _organization),
    Endpoint("GET", "/api/v1/apps/{app}/releases", "releases", _releases),
    Endpoint("GET", "/api/v1/apps/{app}/releases/current", "releases", _current_release),
    Endpoint("POST", "/api/v1/releases", "create_release", _create_release),
    Endpoint("PATCH", "/api/v1/releases/{release}", "update_release", _update_release),
    Endpoint("POST", "/api/v1/builds", "builds", _create_build),
    Endpoint("POST", "/api/v1/builds/finish", "builds", _finish_build),
)
