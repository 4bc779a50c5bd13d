"""Records of the engine with the members that GraphQL gives them.

An object is a dict of its members. A member that takes arguments, or time to find, is a function. What the engine does
not know is no member: a query for it is refused with an error that names it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from reconciler.engine.config.images import image_ref
from reconciler.engine.config.regions import REGIONS
from reconciler.engine.engine import Engine
from reconciler.engine.http.serializers import app_status, time_text
from reconciler.engine.models import Address, AppAddress, Machine, Release, Volume
from reconciler.engine.releases import is_in_progress

Object: TypeAlias = dict[str, Any]
Addresses: TypeAlias = Callable[[], Sequence[Address]]
EMAIL: Final = "local-engine@localhost"
PERSONAL: Final = "personal"
_RELEASES: Final = 25


def user() -> Object:
    """Return the one user that this engine knows."""
    return {"id": "local", "name": "local engine", "email": EMAIL, "enablePaidHobby": False}


def organization(slug: str) -> Object:
    """Return an organization without add-ons, payment or limits."""
    return {
        "id": slug,
        "internalNumericId": "0",
        "slug": slug,
        "rawSlug": slug,
        "name": slug,
        "type": "PERSONAL" if slug == PERSONAL else "SHARED",
        "paidPlan": True,
        "billable": True,
        "viewerRole": "admin",
        "remoteBuilderImage": "",
        "remoteBuilderApp": None,
        "addOns": nodes(()),
        "members": {"edges": [{"cursor": "local", "node": user(), "joinedAt": None, "role": "ADMIN"}]},
    }


def app(engine: Engine, name: str, served: Addresses) -> Object:
    """Return an app; `served` tells where the ports of services are served."""

    def machines() -> list[Machine]:
        return engine.machines(name)

    def current() -> Object | None:
        return next(iter(releases(engine, name)), None)

    def first(arguments: Mapping[str, Any]) -> Object:
        return nodes(releases(engine, name)[: _count(arguments.get("first"))])

    found = engine.app(name)
    status = app_status(machines())
    held = engine.addresses.of(name)
    at = next((one.address for one in served() if one.app == name), "")
    return {
        "id": name,
        "internalNumericId": 0,
        "name": name,
        "hostname": at,
        "appUrl": f"http://{at}" if at else None,
        "cnameTarget": at,
        "network": "default",
        "platformVersion": "machines",
        "status": status,
        "deployed": status in {"deployed", "suspended"},
        "version": len(engine.releases.of(name)),
        "organization": organization(found.org),
        "role": None,
        "currentRelease": lambda _: current(),
        "currentReleaseUnprocessed": lambda _: current(),
        "releases": first,
        "releasesUnprocessed": first,
        "config": {"definition": next((one.definition for one in engine.releases.of(name)), None)},
        "ipAddresses": nodes(address(one, found.org) for one in held if one.kind != "shared_v4"),
        "sharedIpAddress": next((one.ip for one in held if one.kind == "shared_v4"), None),
        "egressIpAddresses": nodes(()),
        "hostIssues": nodes(()),
        "services": lambda _: [service(one) for machine in machines() for one in _services(machine)],
        "imageDetails": lambda _: next((image_details(machine.config) for machine in machines()), None),
        "image": lambda arguments: image(str(arguments.get("ref") or "")),
        "machines": lambda _: nodes(machine_node(engine, one, served) for one in machines()),
    }


def releases(engine: Engine, name: str) -> list[Object]:
    """Return the app's releases, newest first."""
    return [release(one) for one in engine.releases.of(name)]


def release(one: Release) -> Object:
    """Return a release."""
    return {
        "id": one.id,
        "version": one.version,
        "status": one.status,
        "description": "Release",
        "reason": "",
        "stable": not is_in_progress(one),
        "inProgress": is_in_progress(one),
        "evaluationId": None,
        "deploymentStrategy": one.strategy,
        "imageRef": one.image,
        "configDefinition": one.definition,
        "createdAt": time_text(one.created_ms),
        "user": user(),
    }


def address(one: AppAddress, org: str) -> Object:
    """Return an IP address of an app."""
    return {
        "id": f"{one.app}/{one.ip}",
        "address": one.ip,
        "type": one.kind,
        "region": one.region,
        "createdAt": time_text(one.created_ms),
        "serviceName": one.service_name,
        "network": {"name": "default", "organization": organization(org)} if one.kind == "private_v6" else None,
    }


def machine_node(engine: Engine, one: Machine, served: Addresses) -> Object:
    """Return a machine. What of it the Machines API tells better is not here."""
    return {
        "id": one.id,
        "name": one.name,
        "state": one.state,
        "region": one.region,
        "config": one.config,
        "createdAt": time_text(one.created_ms),
        "app": lambda _: app(engine, one.app, served),
        "ips": nodes(()),
        "host": {"id": "local"},
        "egressIpAddresses": nodes(()),
    }


def volume_node(engine: Engine, one: Volume, served: Addresses) -> Object:
    """Return a volume."""
    return {
        "id": one.id,
        "name": one.name,
        "state": one.state,
        "region": one.region,
        "sizeGb": one.size_gb,
        "createdAt": time_text(one.created_ms),
        "app": lambda _: app(engine, one.app, served),
    }


def service(one: Mapping[str, Any]) -> Object:
    """Return a service of a machine's config."""
    ports = one.get("ports") if isinstance(one.get("ports"), list) else []
    return {
        "description": "",
        "protocol": one.get("protocol") or "tcp",
        "internalPort": one.get("internal_port"),
        "ports": [
            {"port": port.get("port"), "handlers": port.get("handlers") or []}
            for port in ports or []
            if isinstance(port, dict)
        ],
    }


def image(reference: str) -> Object:
    """Return an image by its name. It has a digest only if its name has one."""
    return {
        "id": reference,
        "ref": reference.partition("@")[0],
        "digest": reference.partition("@")[2],
        "compressedSize": "0",
        "compressedSizeFull": "0",
        "manifest": None,
    }


def image_details(config: dict[str, Any]) -> Object:
    """Return the parts of the image's name."""
    found = image_ref(config)
    return {key: found[key] for key in ("registry", "repository", "tag", "digest")} | {"version": ""}


def regions() -> list[Object]:
    """Return the platform's regions."""
    return [
        {
            "code": one.code,
            "name": one.name,
            "latitude": one.latitude,
            "longitude": one.longitude,
            "gatewayAvailable": True,
            "requiresPaidPlan": False,
            "deprecated": False,
        }
        for one in REGIONS
    ]


def nodes(found: Iterable[Object]) -> Object:
    """Return a list as GraphQL has lists that might have more pages."""
    return {"nodes": list(found), "pageInfo": {"hasNextPage": False, "endCursor": None}}


def _services(machine: Machine) -> list[Mapping[str, Any]]:
    services = machine.config.get("services")
    return [one for one in services if isinstance(one, dict)] if isinstance(services, list) else []


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else _RELEASES
