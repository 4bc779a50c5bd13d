"""The routes of machines, their leases and metadata."""

from typing import Final, NamedTuple

from reconciler.engine.config.read import whole_number
from reconciler.engine.engine import Engine
from reconciler.engine.errors import bad_request, not_found
from reconciler.engine.faults.settings import Behaviour
from reconciler.engine.http import serializers
from reconciler.engine.http.messages import JSON, JSONResponse, Request, Response, json_bytes
from reconciler.engine.http.routes.base import Endpoint, body_of, flag_of, names_of, nonce_of, ok, states_of
from reconciler.engine.http.routes.pages import headers_of, page_of
from reconciler.engine.machines.wait import Wait
from reconciler.engine.models import Machine


async def _list_machines(engine: Engine, request: Request) -> Response:
    query = request.query_params
    states = states_of(request)
    wanted = {(key.removeprefix("metadata."), one) for key, one in query.multi_items() if key.startswith("metadata.")}
    machines = [
        machine
        for machine in engine.listed_machines(
            request.path_params["app"], with_destroyed=flag_of(request, "include_deleted")
        )
        if (not states or machine.state in states)
        and query.get("region") in {None, "", machine.region}
        and wanted <= (machine.config.get("metadata") or {}).items()
    ]
    page = page_of(engine, request, machines, lambda machine: f"{machine.created_ms:015}-{machine.id}")
    shown = page.items if page else machines
    shown_as = _shown_as(engine, request)
    body = b",".join([_machine_bytes(engine, machine, shown_as) for machine in shown])
    return Response(b"[%b]" % body, headers=headers_of(page), media_type=JSON)


async def _create_machine(engine: Engine, request: Request) -> Response:
    body = body_of(request, "createMachineRequest")
    return _machine(engine, request, engine.create(request.path_params["app"], body))


async def _get_machine(engine: Engine, request: Request) -> Response:
    version = request.query_params.get("version")
    machine = engine.machine_at(*names_of(request), version) if version else engine.machine(*names_of(request))
    return _machine(engine, request, machine)


async def _update_machine(engine: Engine, request: Request) -> Response:
    body = body_of(request, "updateMachineRequest")
    return _machine(engine, request, await engine.update(*names_of(request), body, nonce_of(request)))


async def _delete_machine(engine: Engine, request: Request) -> Response:
    force = flag_of(request, "force") or flag_of(request, "kill")
    await engine.destroy(*names_of(request), nonce_of(request), force=force)
    return ok()


async def _start(engine: Engine, request: Request) -> Response:
    return JSONResponse(await engine.start_machine(*names_of(request), nonce_of(request)))


async def _stop(engine: Engine, request: Request) -> Response:
    body = body_of(request, "stopRequest")
    await engine.stop_machine(*names_of(request), body, nonce_of(request))
    return ok()


async def _restart(engine: Engine, request: Request) -> Response:
    query = request.query_params
    rule = {"timeout": query.get("timeout") or None, "signal": query.get("signal") or None}
    if flag_of(request, "force_stop"):
        rule = {"timeout": None, "signal": "SIGKILL"}
    await engine.restart(*names_of(request), rule, nonce_of(request))
    return ok()


async def _suspend(engine: Engine, request: Request) -> Response:
    await engine.suspend(*names_of(request), nonce_of(request))
    return ok()


async def _cordon(engine: Engine, request: Request) -> Response:
    await engine.cordon(*names_of(request), nonce_of(request), is_cordoned=True)
    return ok()


async def _uncordon(engine: Engine, request: Request) -> Response:
    await engine.cordon(*names_of(request), nonce_of(request), is_cordoned=False)
    return ok()


async def _signal(engine: Engine, request: Request) -> Response:
    body = body_of(request, "signalRequest")
    await engine.guest.signal(*names_of(request), body.get("signal"))
    return ok()


async def _ps(engine: Engine, request: Request) -> Response:
    found = [serializers.process_json(one) for one in await engine.guest.processes(*names_of(request))]
    key = request.query_params.get("sort_by") or "pid"
    if key not in serializers.SORTABLE:
        raise bad_request(f"invalid sort_by: {key}")
    order = request.query_params.get("order") or "asc"
    if order not in {"asc", "desc"}:
        raise bad_request(f"invalid order: {order}")
    return JSONResponse(sorted(found, key=lambda one: one[key], reverse=order == "desc"))


async def _get_memory(engine: Engine, request: Request) -> Response:
    return JSONResponse(serializers.memory_json(engine.machine(*names_of(request))))


async def _set_memory(engine: Engine, request: Request) -> Response:
    body = body_of(request, "setMemoryLimitRequest")
    return JSONResponse(serializers.memory_json(engine.limit_memory(*names_of(request), body.get("limit_mb"))))


async def _reclaim_memory(engine: Engine, request: Request) -> Response:
    body = body_of(request, "reclaimMemoryRequest")
    engine.machine(*names_of(request))
    if whole_number(body.get("amount_mb") or 0, "amount_mb") < 0:
        raise bad_request("amount_mb must not be negative")
    return JSONResponse({"actual_mb": 0})  # the host's own kernel reclaims as it needs


async def _exec(engine: Engine, request: Request) -> Response:
    body = body_of(request, "execRequest")
    done = await engine.guest.execute(*names_of(request), body, nonce_of(request))
    return JSONResponse(
        {"exit_code": done.code, "exit_signal": done.signal or 0, "stdout": done.stdout, "stderr": done.stderr}
    )


async def _wait(engine: Engine, request: Request) -> Response:
    query = request.query_params
    wait = Wait(
        states=states_of(request) or ["started"],
        timeout_s=whole_number(query.get("timeout") or "60", "timeout"),
        version=query.get("version") or query.get("instance_id"),
        from_event_id=query.get("from_event_id"),
    )
    machine = await engine.wait(*names_of(request), wait)
    event_id = machine.events[0].id if machine.events else None
    return JSONResponse({"ok": True} | {"state": machine.state, "version": machine.instance_id, "event_id": event_id})


async def _get_lease(engine: Engine, request: Request) -> Response:
    lease = engine.leases.current(engine.machine(*names_of(request)))
    if lease is None:
        raise not_found("lease")
    return JSONResponse(serializers.lease_json(lease, engine.settings.behaviour))


async def _take_lease(engine: Engine, request: Request) -> Response:
    body = body_of(request, "leaseRequest")
    ttl_s = whole_number(body.get("ttl") or request.query_params.get("ttl") or 0, "ttl")
    lease = engine.leases.take(
        *names_of(request),
        ttl_s=ttl_s,
        description=str(body.get("description") or ""),
        nonce=nonce_of(request),
    )
    return JSONResponse(serializers.lease_json(lease, Behaviour()), status_code=201)


async def _release_lease(engine: Engine, request: Request) -> Response:
    engine.leases.release(*names_of(request), nonce_of(request))
    return JSONResponse({"status": "success", "data": {"ok": True}})


async def _get_metadata(engine: Engine, request: Request) -> Response:
    return JSONResponse(engine.machine(*names_of(request)).config.get("metadata") or {})


async def _get_metadata_key(engine: Engine, request: Request) -> Response:
    metadata = engine.machine(*names_of(request)).config.get("metadata") or {}
    key = request.path_params["key"]
    if key not in metadata:
        raise not_found("metadata key")
    return JSONResponse({"value": metadata[key]})


async def _update_metadata(engine: Engine, request: Request) -> Response:
    body = body_of(request, "updateMetadataRequest")
    values = body.get("metadata")
    if not isinstance(values, dict):
        raise bad_request("metadata is required: an object")
    engine.set_metadata(*names_of(request), values, body.get("machine_version"))
    return Response(status_code=204)


async def _set_metadata_key(engine: Engine, request: Request) -> Response:
    body = body_of(request, "metadataRequest")
    engine.set_metadata(*names_of(request), {request.path_params["key"]: body.get("value")})
    return Response(status_code=204)


async def _delete_metadata_key(engine: Engine, request: Request) -> Response:
    engine.set_metadata(*names_of(request), {request.path_params["key"]: None})
    return Response(status_code=204)


async def _events(engine: Engine, request: Request) -> Response:
    limit = whole_number(request.query_params.get("limit") or "20", "limit")
    events = engine.machine(*names_of(request)).events[: min(50, max(1, limit))]
    return JSONResponse([serializers.event_json(event) for event in events])


async def _versions(engine: Engine, request: Request) -> Response:
    versions = engine.versions(*names_of(request))
    return JSONResponse([{"version": version, "user_config": config} for version, config in versions])


class _ShownAs(NamedTuple):
    """How machines are shown: by the engine's settings, and as the request wants."""

    behaviour: Behaviour
    is_summary: bool
    with_lease: bool


def _shown_as(engine: Engine, request: Request) -> _ShownAs:
    if not request.query:
        return _ShownAs(engine.settings.behaviour, is_summary=False, with_lease=False)
    is_summary = flag_of(request, "summary") and request.method == "GET"
    return _ShownAs(engine.settings.behaviour, is_summary, flag_of(request, "include_leases"))


def _machine(engine: Engine, request: Request, machine: Machine) -> Response:
    return Response(_machine_bytes(engine, machine, _shown_as(engine, request)), media_type=JSON)


def _machine_bytes(engine: Engine, machine: Machine, shown_as: _ShownAs) -> bytes:
    """Return the machine as JSON, made once for each change of what it shows.

    That is its record, whether its lease is in force, whether its host is down, and the results of its checks.
    """
    lease, is_unreachable = engine.leases.current(machine), engine.is_unreachable(machine)
    results = engine.check_results.of(machine)
    made = engine.store.made_of(machine)
    key = (shown_as, lease is None, is_unreachable, results if results is None else tuple(results.items()))
    if (found := made.get(key)) is None:
        found = made[key] = json_bytes(
            serializers.machine_json(
                machine,
                lease,
                shown_as.behaviour,
                is_summary=shown_as.is_summary,
                with_lease=shown_as.with_lease,
                is_unreachable=is_unreachable,
                check_results=results,
            )
        )
    return found


_M: Final = "/apps/{app}/machines/{machine}"
ENDPOINTS: Final = (
    Endpoint("GET", "/apps/{app}/machines", "list", _list_machines),
    Endpoint("POST", "/apps/{app}/machines", "create", _create_machine),
    Endpoint("GET", _M, "get", _get_machine),
    Endpoint("POST", _M, "update", _update_machine),
    Endpoint("DELETE", _M, "delete", _delete_machine),
    Endpoint("POST", f"{_M}/start", "start", _start),
    Endpoint("POST", f"{_M}/stop", "stop", _stop),
    Endpoint("POST", f"{_M}/restart", "restart", _restart),
    Endpoint("POST", f"{_M}/suspend", "suspend", _suspend),
    Endpoint("POST", f"{_M}/cordon", "cordon", _cordon),
    Endpoint("POST", f"{_M}/uncordon", "cordon", _uncordon),
    Endpoint("POST", f"{_M}/signal", "signal", _signal),
    Endpoint("POST", f"{_M}/exec", "exec", _exec),
    Endpoint("GET", f"{_M}/ps", "ps", _ps),
    Endpoint("GET", f"{_M}/memory", "get_memory", _get_memory),
    Endpoint("PUT", f"{_M}/memory", "memory", _set_memory),
    Endpoint("POST", f"{_M}/memory/reclaim", "memory", _reclaim_memory),
    Endpoint("GET", f"{_M}/wait", "wait", _wait),
    Endpoint("GET", f"{_M}/lease", "get_lease", _get_lease),
    Endpoint("POST", f"{_M}/lease", "lease", _take_lease),
    Endpoint("DELETE", f"{_M}/lease", "release", _release_lease),
    Endpoint("GET", f"{_M}/metadata", "get_metadata", _get_metadata),
    Endpoint("PUT", f"{_M}/metadata", "metadata", _update_metadata),
    Endpoint("PATCH", f"{_M}/metadata", "metadata", _update_metadata),
    Endpoint("GET", f"{_M}/metadata/{{key}}", "get_metadata", _get_metadata_key),
    Endpoint("POST", f"{_M}/metadata/{{key}}", "metadata", _set_metadata_key),
    Endpoint("DELETE", f"{_M}/metadata/{{key}}", "metadata", _delete_metadata_key),
    Endpoint("GET", f"{_M}/events", "events", _events),
    Endpoint("GET", f"{_M}/versions", "versions", _versions),
)
