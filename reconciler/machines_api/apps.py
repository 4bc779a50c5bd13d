"""The calls about apps. Every method raises ApiError."""

from reconciler.machines_api import wire
from reconciler.machines_api.requests import Call, app_path, nothing
from reconciler.machines_api.transport import Transport
from reconciler.machines_api.wire import AppInfo


class Apps:
    """Read and create apps: `client.apps`."""

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

    async def create(self, app: str, *, org: str) -> None:
        """Create the app.

        Its name is sent in both spellings, as servers differ in which they read.
        """
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
