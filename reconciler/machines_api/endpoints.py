"""The calls on apps, and on the platform itself.

docs/explanation/protocols.md describes them in section 1. Every method raises ApiError.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from reconciler.errors import ApiError
from reconciler.machines_api import app_contents, ip_addresses, wire
from reconciler.machines_api.calls import Call, app_path, nothing
from reconciler.machines_api.remedies import hint_of_creation
from reconciler.machines_api.tokens import TokenInfo, token_from_json
from reconciler.machines_api.transport import Transport
from reconciler.machines_api.wire import AppInfo
from reconciler.model.ip_address import IpAddress, IpKind

_ADVICE_TIMEOUT_S: Final = 4.0
_NO_SUCH_CALL: Final = frozenset({404, 405, 501})


class Apps:
    """Read, create and delete apps, and read what is in them: `client.apps`."""

    def __init__(self, api: Transport) -> None:
        self._api = api

    async def get(self, app: str) -> AppInfo | None:
        """Return the app; None if it does not exist."""
        call = Call(
            method="GET",
            path=app_path(app),
            what=f"get app {app}",
            action="get_app",
            identifier=app,
            app=app,
            is_repeatable=True,
        )
        return await self._api.find(call, wire.app_from_json)

    async def create(self, app: str, *, org: str, key: str | None = None) -> None:
        """Create the app.

        Its name is sent in both spellings, as servers differ in which they read. If a call of the same `key` has
        created it, that is no error, except on older servers: they raise kind NAME_TAKEN.
        """
        body = {"name": app, "app_name": app, "org_slug": org} | ({"idempotency_key": key} if key else {})
        call = Call(
            method="POST",
            path="/v1/apps",
            what=f"create app {app}",
            action="create_app",
            identifier=org,
            body=body,
            has_reply=False,
        )
        try:
            await self._api.send(call, nothing)
        except ApiError as error:
            error.hint = hint_of_creation(error, app, org)
            raise

    async def delete(self, app: str) -> None:
        """Delete the app with all that is in it. It is no error if it is gone already.

        No lease prevents it. If the effect is unclear, look before a repeat: by then it may be someone else's app.
        """
        call = Call(
            method="DELETE",
            path=app_path(app),
            what=f"delete app {app}",
            action="delete_app",
            identifier=app,
            has_reply=False,
        )
        await self._api.find(call, nothing)

    async def volumes(self, app: str) -> tuple[str, ...]:
        """Return the ids of the app's volumes that nobody has deleted."""
        return await self._listed(app, "volumes", app_contents.volumes_from_json)

    async def certificates(self, app: str) -> tuple[str, ...]:
        """Return the host names of certificates of the app: all, or a first part."""
        return await self._listed(app, "certificates", app_contents.certificates_from_json)

    async def secrets(self, app: str) -> tuple[str, ...]:
        """Return the names of the app's secrets."""
        return await self._listed(app, "secrets", app_contents.secrets_from_json)

    async def _listed(self, app: str, what: str, read: Callable[[Any], tuple[str, ...]]) -> tuple[str, ...]:
        """List what an app that exists has; a server without such things answers 404."""
        call = Call(
            method="GET",
            path=f"{app_path(app)}/{what}",
            query={"summary": "true"} if what == "volumes" else None,
            what=f"list the {what} of {app}",
            action=f"list_{what}",
            identifier=app,
            app=app,
            is_repeatable=True,
        )
        return await self._api.find(call, read) or ()

    async def addresses(self, app: str) -> tuple[IpAddress, ...]:
        """Return the addresses of an app that exists."""
        call = Call(
            method="GET",
            path=f"{app_path(app)}/ip_assignments",
            what=f"list the addresses of {app}",
            action="list_ips",
            identifier=app,
            app=app,
            is_repeatable=True,
        )
        with _saying_what_to_do(app):
            return await self._api.send(call, ip_addresses.addresses_from_json)

    async def allocate(self, app: str, kind: IpKind) -> IpAddress:
        """Give the app one more address. If the effect is unclear, list before a repeat."""
        call = Call(
            method="POST",
            path=f"{app_path(app)}/ip_assignments",
            what=f"allocate a {kind} address for {app}",
            action="assign_ip",
            identifier=app,
            app=app,
            body={"type": kind.value},
        )
        with _saying_what_to_do(app):
            return await self._api.send(call, ip_addresses.address_from_json)


@contextmanager
def _saying_what_to_do(app: str) -> Iterator[None]:
    """Say what to do about a server that has no IP addresses."""
    try:
        yield
    except ApiError as error:
        if error.status in _NO_SUCH_CALL:
            error.hint = f"if this server has no IP addresses, take `addresses` out of the spec of {app}"
        raise


class Platform:
    """Ask what the platform offers: `client.platform`."""

    def __init__(self, api: Transport) -> None:
        self._api = api

    async def list_served(self) -> dict[str, dict[int, str]]:
        """Return the address of each port that the local engine serves, by app and port.

        Only the local engine has this call.
        """
        call = Call(
            method="GET",
            path="/engine/services",
            what="ask where ports are served",
            action="list_served",
            identifier="",
            is_repeatable=True,
        )
        return await self._api.send(call, ip_addresses.served_from_json)

    async def list_regions(self) -> frozenset[str]:
        """Return the codes of the platform's regions. Sent once, never repeated."""
        call = Call(
            method="GET",
            path="/v1/platform/regions",
            what="list the platform's regions",
            action="list_regions",
            identifier="",
        )
        return await self._api.send(call, wire.regions_from_json)

    async def answer_headers(self) -> Mapping[str, str]:
        """Ask for the regions, once, and return the headers of the answer."""
        found: dict[str, str] = {}
        call = Call(
            method="GET",
            path="/v1/platform/regions",
            what="the target",
            action="list_regions",
            identifier="",
            timeout_s=_ADVICE_TIMEOUT_S,
            is_sent_once=True,
            on_headers=found.update,
        )
        await self._api.send(call, wire.regions_from_json)
        return found

    async def current_token(self) -> TokenInfo:
        """Return what the token is for. Sent once."""
        call = Call(
            method="GET",
            path="/v1/tokens/current",
            what="ask what the token is for",
            action="current_token",
            identifier="",
            timeout_s=_ADVICE_TIMEOUT_S,
            is_sent_once=True,
        )
        return await self._api.send(call, token_from_json)

    async def limits_of(self, org: str) -> Mapping[str, int]:
        """Return how many machines the organisation may have, by region. Never repeated.

        A region without room is left out.
        """
        call = Call(
            method="POST",
            path="/v1/platform/placements",
            what=f"ask for the limits of {org}",
            action="placements",
            identifier=org,
            body={"org_slug": org, "count": 0},
            timeout_s=_ADVICE_TIMEOUT_S,
            is_sent_once=True,
        )
        return await self._api.send(call, wire.limits_from_json)
