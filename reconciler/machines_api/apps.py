"""The calls about apps, and the list of an app's machines. Every method raises ApiError."""

from reconciler.machines_api import wire
from reconciler.machines_api.leases import LeaseCalls
from reconciler.machines_api.requests import app_path, nothing
from reconciler.machines_api.transport import Call
from reconciler.machines_api.wire import AppInfo
from reconciler.model.machine import Machine


class AppCalls(LeaseCalls):
    """The part of the client that sees apps as wholes."""

    async def get_app(self, app: str) -> AppInfo | None:
        """The app; None where it does not exist."""
        call = Call(
            method="GET",
            path=app_path(app),
            what=f"get app {app}",
            action="get_app",
            identifier=app,
            app=app,
            is_repeatable=True,
        )
        return await self._find(call, lambda value: wire.app_from_json(value, app))

    async def create_app(self, app: str, *, org: str) -> None:
        """Creates the app. Both spellings of its name are sent, since servers differ in which they read."""
        body = {"name": app, "app_name": app, "org_slug": org}
        call = Call(
            method="POST",
            path="/v1/apps",
            what=f"create app {app}",
            action="create_app",
            identifier=org,
            body=body,
            has_reply=False,
        )
        await self._api.send(call, nothing)

    async def list_machines(self, app: str, *, with_destroyed: bool = False) -> tuple[Machine, ...] | None:
        """The app's machines, also those destroyed in the last two days; None where the app does not exist."""
        call = Call(
            method="GET",
            path=f"{app_path(app)}/machines",
            what=f"list machines of {app}",
            action="list_machines",
            identifier=app,
            app=app,
            query={"include_deleted": "true"} if with_destroyed else None,
            is_repeatable=True,
            timeout_s=30.0,
        )
        return await self._find(call, lambda value: wire.machines_from_json(app, value))

    async def list_regions(self) -> frozenset[str]:
        """Return the codes of the platform's regions; empty where the answer names none. Sent once."""
        call = Call(
            method="GET",
            path="/v1/platform/regions",
            what="list the platform's regions",
            action="list_regions",
            identifier="",
        )
        return await self._api.send(call, wire.regions_from_json)
