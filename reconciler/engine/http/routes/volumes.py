"""The routes of volumes and their snapshots."""

import asyncio
from typing import Any, Final

from reconciler.engine.engine import Engine
from reconciler.engine.http import serializers
from reconciler.engine.http.messages import JSONResponse, Request, Response
from reconciler.engine.http.routes.base import Endpoint, app_of, body_of, flag_of
from reconciler.engine.http.routes.pages import headers_of, page_of
from reconciler.engine.models import Volume


async def _list(engine: Engine, request: Request) -> Response:
    volumes = engine.volumes.of(app_of(engine, request))
    page = page_of(engine, request, volumes, lambda volume: f"{volume.created_ms:015}-{volume.id}")
    is_summary, shown = flag_of(request, "summary"), page.items if page else volumes
    rows = [await volume_json(engine, volume, is_summary=is_summary) for volume in shown]
    return JSONResponse(rows, headers=headers_of(page))


async def _create(engine: Engine, request: Request) -> Response:
    body = body_of(request, "createVolumeRequest")
    volume = await engine.volumes.create(app_of(engine, request), body)
    return JSONResponse(await volume_json(engine, volume))


async def _get(engine: Engine, request: Request) -> Response:
    return JSONResponse(await volume_json(engine, engine.volumes.one(*_names(engine, request))))


async def _update(engine: Engine, request: Request) -> Response:
    body = body_of(request, "updateVolumeRequest")
    return JSONResponse(await volume_json(engine, engine.volumes.update(*_names(engine, request), body)))


async def _delete(engine: Engine, request: Request) -> Response:
    return JSONResponse(await volume_json(engine, engine.volumes.destroy(*_names(engine, request))))


async def _extend(engine: Engine, request: Request) -> Response:
    body = body_of(request, "extendVolumeRequest")
    volume = engine.volumes.extend(*_names(engine, request), body)
    return JSONResponse({"volume": await volume_json(engine, volume), "needs_restart": False})


async def _snapshots(engine: Engine, request: Request) -> Response:
    return JSONResponse([serializers.snapshot_json(one) for one in engine.volumes.snapshots(*_names(engine, request))])


async def _snapshot(engine: Engine, request: Request) -> Response:
    return JSONResponse(serializers.snapshot_json(await engine.volumes.snapshot(*_names(engine, request))))


def _names(engine: Engine, request: Request) -> tuple[str, str]:
    return app_of(engine, request), request.path_params["volume"]


async def volume_json(engine: Engine, volume: Volume, *, is_summary: bool = False) -> dict[str, Any]:
    """Return the volume as JSON.

    A summary does not count the size of its files, which takes time.
    """
    used = 0 if is_summary else await asyncio.to_thread(engine.volumes.bytes_used, volume)
    return serializers.volume_json(volume, engine.volumes.machine_of(volume), used)


_V: Final = "/apps/{app}/volumes/{volume}"
ENDPOINTS: Final = (
    Endpoint("GET", "/apps/{app}/volumes", "list_volumes", _list),
    Endpoint("POST", "/apps/{app}/volumes", "create_volume", _create),
    Endpoint("GET", _V, "get_volume", _get),
    Endpoint("PUT", _V, "update_volume", _update),
    Endpoint("DELETE", _V, "delete_volume", _delete),
    Endpoint("PUT", f"{_V}/extend", "extend_volume", _extend),
    Endpoint("GET", f"{_V}/snapshots", "list_snapshots", _snapshots),
    Endpoint("POST", f"{_V}/snapshots", "create_snapshot", _snapshot),
)
