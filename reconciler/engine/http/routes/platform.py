"""The routes of the platform: regions, placements, tokens; and the missing ones."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import asdict

from reconciler.engine.config.read import concrete_region, whole_number
from reconciler.engine.config.regions import REGIONS, regions_json
from reconciler.engine.engine import Engine
from reconciler.engine.errors import ApiFault, bad_request, not_found
from reconciler.engine.http.messages import JSONResponse, Request, Response
from reconciler.engine.http.routes.base import Endpoint, app_of, body_of
from reconciler.engine.models import Address

_CONCURRENCY: Final = 100
_NO_LIMIT: Final = 1_000_000


async def _regions(_engine: Engine, _request: Request) -> Response:
    return JSONResponse(regions_json())


async def _placements(engine: Engine, request: Request) -> Response:
    """Answer that there is capacity everywhere, in the live API's spelling.

    A count of 0 asks for the limits of the organization.
    """
    body = body_of(request, "getPlacementsRequest")
    if not isinstance(body.get("org_slug"), str) or not body["org_slug"]:
        raise bad_request("org_slug is required")
    count = whole_number(body.get("count") or 0, "count")
    if count < 0:
        raise bad_request("count must not be negative")
    if count == 0:
        most = engine.settings.behaviour.machines_per_region
        count = _NO_LIMIT if most is None else most
    wanted = body.get("region")
    codes = [concrete_region(wanted)] if wanted and wanted != "any" else [region.code for region in REGIONS]
    return JSONResponse({"Regions": [{"Region": code, "Count": count, "Concurrency": _CONCURRENCY} for code in codes]})


async def _token(engine: Engine, _request: Request) -> Response:
    orgs = sorted({app.org for app in engine.store.apps.values()}) or ["personal"]
    tokens = [{"token_id": "local", "org_slug": org, "organization": org, "apps": [], "user": "local"} for org in orgs]
    return JSONResponse({"tokens": tokens})


async def _certificates(engine: Engine, request: Request) -> Response:
    app_of(engine, request)
    return JSONResponse({"certificates": [], "next_cursor": "", "total_count": 0})


async def _secret_keys(engine: Engine, request: Request) -> Response:
    app_of(engine, request)
    return JSONResponse({"secret_keys": []})


async def _network_policies(engine: Engine, request: Request) -> Response:
    """Answer that there are none.

    No OpenAPI document has them; this form of the list is what a client reads.
    """
    app_of(engine, request)
    return JSONResponse([])


async def _not_found(engine: Engine, request: Request) -> Response:
    app_of(engine, request)
    raise not_found(request.path.rpartition("/")[2])


async def _unimplemented(engine: Engine, request: Request) -> Response:
    if "app" in request.path_params:
        app_of(engine, request)
    body_of(request, "request")
    raise ApiFault(501, f"unimplemented: the local engine has nothing for {request.method} {request.path}")


def services_endpoint(addresses: Callable[[], Sequence[Address]]) -> Endpoint:
    """Return the engine's own route: where each declared port of a service is served."""

    async def services(_engine: Engine, _request: Request) -> Response:
        return JSONResponse([asdict(address) for address in addresses()])

    return Endpoint("GET", "/engine/services", "services", services)


async def _unknown(_engine: Engine, request: Request) -> Response:
    raise ApiFault(404, f"no such endpoint: {request.method} {request.path}")


def _not_implemented(method: str, path: str) -> Endpoint:
    return Endpoint(method, path, "unimplemented", _unimplemented)


_CERTIFICATE: Final = "/apps/{app}/certificates/{hostname}"
_KEY: Final = "/apps/{app}/secretkeys/{name}"
_POLICIES: Final = "/apps/{app}/network_policies"
ENDPOINTS: Final[tuple[Any, ...]] = (
    Endpoint("GET", "/platform/regions", "regions", _regions),
    Endpoint("POST", "/platform/placements", "placements", _placements),
    Endpoint("GET", "/tokens/current", "current_token", _token),
    Endpoint("GET", "/apps/{app}/certificates", "certificates", _certificates),
    Endpoint("GET", "/apps/{app}/secretkeys", "secretkeys", _secret_keys),
    Endpoint("GET", _CERTIFICATE, "certificates", _not_found),
    Endpoint("GET", _KEY, "secretkeys", _not_found),
    Endpoint("GET", _POLICIES, "network_policies", _network_policies),
    Endpoint("GET", f"{_POLICIES}/{{policy}}", "network_policies", _not_found),
    _not_implemented("POST", _POLICIES),
    _not_implemented("DELETE", f"{_POLICIES}/{{policy}}"),
    *(_not_implemented("POST", f"/apps/{{app}}/certificates/{kind}") for kind in ("acme", "custom")),
    _not_implemented("DELETE", _CERTIFICATE),
    *(_not_implemented("DELETE", f"{_CERTIFICATE}/{kind}") for kind in ("acme", "custom")),
    _not_implemented("POST", f"{_CERTIFICATE}/check"),
    _not_implemented("POST", "/apps/{app}/deploy_token"),
    _not_implemented("POST", _KEY),
    _not_implemented("DELETE", _KEY),
    *(_not_implemented("POST", f"{_KEY}/{verb}") for verb in ("decrypt", "encrypt", "generate", "sign", "verify")),
    *(_not_implemented("POST", f"/tokens/{verb}") for verb in ("authenticate", "authorize", "kms", "oidc")),
)
UNKNOWN: Final = Endpoint("", "/{path:path}", "unknown", _unknown)
