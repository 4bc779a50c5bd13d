"""The routes for all apps of an organization: its machines and volumes, in pages."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from reconciler.engine.config.read import whole_number
from reconciler.engine.engine import Engine
from reconciler.engine.errors import bad_request
from reconciler.engine.http import serializers
from reconciler.engine.http.messages import JSONResponse, Request, Response
from reconciler.engine.http.routes.base import Endpoint, flag_of, states_of
from reconciler.engine.http.routes.volumes import volume_json
from reconciler.engine.models import Machine, Volume

T = TypeVar("T", Machine, Volume)
_MOST: Final = 1000
_CURSOR: Final = re.compile(r"(\d{1,16})-(\w{1,40})", re.ASCII)


async def _machines(engine: Engine, request: Request) -> Response:
    apps = _apps(engine, request)
    has_destroyed = flag_of(request, "include_deleted")
    found = [machine for app in apps for machine in engine.listed_machines(app, with_destroyed=has_destroyed)]
    page, after = _page(request, found, lambda machine: machine.state)
    is_summary = flag_of(request, "summary")
    return JSONResponse(
        {
            "machines": [serializers.organization_machine_json(machine, is_summary=is_summary) for machine in page],
            "next_cursor": after,
            "last_machine_id": page[-1].id if page else "",
            "last_updated_at": serializers.time_text(page[-1].updated_ms) if page else "",
            "error_regions": [],
        }
    )


async def _volumes(engine: Engine, request: Request) -> Response:
    found = [volume for app in _apps(engine, request) for volume in engine.volumes.of(app)]
    page, after = _page(request, found, lambda volume: volume.state)
    rows = [
        await volume_json(engine, volume, is_summary=True)
        | {"app_name": volume.app, "updated_at": serializers.time_text(volume.updated_ms)}
        for volume in page
    ]
    return JSONResponse(
        {
            "volumes": rows,
            "next_cursor": after,
            "last_volume_id": page[-1].id if page else "",
            "last_updated_at": serializers.time_text(page[-1].updated_ms) if page else "",
        }
    )


def _apps(engine: Engine, request: Request) -> list[str]:
    return [app.name for app in engine.store.apps.values() if app.org == request.path_params["org"]]


def _page(request: Request, found: list[T], state: Callable[[Any], str]) -> tuple[list[T], str]:
    """Return the page of the request, oldest change first, and the next cursor.

    The cursor is empty at the end.
    """
    query, states = request.query_params, states_of(request)
    limit = min(_MOST, whole_number(query.get("limit") or _MOST, "limit"))
    if limit < 1:
        raise bad_request("limit must be at least 1")
    begin = _begin(query.get("cursor"), query.get("updated_after"))
    region = query.get("region")
    chosen = [
        one
        for one in sorted(found, key=_place)
        if _place(one) > begin and (not states or state(one) in states) and (not region or one.region == region)
    ]
    page = chosen[:limit]
    return page, f"{page[-1].updated_ms}-{page[-1].id}" if len(chosen) > limit else ""


def _place(one: Machine | Volume) -> tuple[int, str]:
    return one.updated_ms, one.id


def _begin(cursor: str | None, updated_after: str | None) -> tuple[int, str]:
    """Return the place after which the page begins.

    A cursor overrides a time. Raises ApiFault.
    """
    if cursor:
        parts = _CURSOR.fullmatch(cursor)
        if parts is None:
            raise bad_request(f"invalid cursor: {cursor}")
        return int(parts[1]), parts[2]
    if updated_after:
        try:
            at = datetime.fromisoformat(updated_after)
            return int(at.timestamp() * 1000), "~"
        except (ValueError, OverflowError, OSError) as error:
            raise bad_request(f"invalid updated_after: {updated_after}") from error
    return -1, ""


ENDPOINTS: Final = (
    Endpoint("GET", "/orgs/{org}/machines", "list_org_machines", _machines),
    Endpoint("GET", "/orgs/{org}/volumes", "list_org_volumes", _volumes),
)
