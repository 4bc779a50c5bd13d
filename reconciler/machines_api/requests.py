"""What calls are made of: paths, names for rates and errors, and replies that say nothing."""

from typing import Any
from urllib.parse import quote

from reconciler.machines_api.transport import Call


def app_path(app: str) -> str:
    """The path of an app."""
    return f"/v1/apps/{quote(app, safe='')}"


def on_machine(method: str, app: str, machine_id: str, action: str, path: str = "", **details: Any) -> Call:
    """A call on one machine; `details` are more of the fields of Call."""
    return Call(
        method=method,
        path=f"{app_path(app)}/machines/{quote(machine_id, safe='')}{path}",
        what=f"{action.replace('_', ' ')} {machine_id} of {app}",
        action=action,
        identifier=machine_id,
        app=app,
        **details,
    )


def nothing(_value: Any) -> None:
    """Reads a reply of which only the status counts."""
    return
