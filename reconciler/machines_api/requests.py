"""Describe a call of the API as a value: what is sent, and what may be repeated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from reconciler.model.secret import Secret

CALL_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the API.

    `what` names it in errors. The platform limits the rate of each `action` on each `identifier`.
    """

    method: str
    path: str
    what: str
    action: str
    identifier: str
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    nonce: Secret | None = None
    app: str | None = None  # the app that the call is about
    timeout_s: float = CALL_TIMEOUT_S
    is_repeatable: bool = False  # idempotent: sending it twice has the effect of sending it once
    is_sent_once: bool = False  # never repeated here: the caller does that
    has_reply: bool = True  # False: a 2xx with any body is enough
    on_flight: Callable[[bool], None] | None = None  # True before each sending; False once it certainly had no effect


def app_path(app: str) -> str:
    """Return the path of an app."""
    return f"/v1/apps/{quote(app, safe='')}"


def on_machine(method: str, app: str, machine_id: str, action: str, path: str = "", **details: Any) -> Call:
    """Return a call on one machine; `details` are further fields of Call."""
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
    """Read a reply of which only the status counts."""
    return
