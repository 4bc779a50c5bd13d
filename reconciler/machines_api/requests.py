"""Describe calls of the API as values: path, name for errors and rate limits, body, and what may be repeated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from reconciler.model.secret import Secret

CALL_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the API. `what` names it in words; `action` and `identifier` are what its rate is limited by."""

    method: str
    path: str
    what: str
    action: str
    identifier: str
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    nonce: Secret | None = None
    app: str | None = None  # the app that it is about
    timeout_s: float = CALL_TIMEOUT_S
    is_repeatable: bool = False  # sending it twice is as good as once
    is_sent_once: bool = False  # the caller asks again by itself
    has_reply: bool = True  # False: a 2xx of any body will do
    on_flight: Callable[[bool], None] | None = None  # told True before each sending, False once it had no effect


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
