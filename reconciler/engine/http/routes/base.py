"""What all routes share: the endpoint, and readers for the parts of a request."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeAlias

from reconciler.engine.engine import Engine
from reconciler.engine.errors import ApiFault, bad_request
from reconciler.engine.http.messages import MAX_BODY, JSONResponse, Request, Response

NONCE: Final = "fly-machine-lease-nonce"
_NONCE: Final = NONCE.encode()
_SHOWN: Final = 20

Handler: TypeAlias = Callable[[Engine, Request], Awaitable[Response]]


class Endpoint(NamedTuple):
    """One route. `call` is its name in rate limits and in fault rules."""

    method: str
    path: str
    call: str
    handler: Handler


def body_of(request: Request, type_name: str) -> dict[str, Any]:
    """Return the JSON object of the body; empty without a body. Raises ApiFault.

    `type_name` is the Go type that Fly's own error message names.
    """
    content = request.content
    if content is None:
        raise ApiFault(413, f"the body is larger than {MAX_BODY} bytes")
    if not content.strip():
        return {}
    try:
        value = json.loads(content)
        _check_text(value)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        kind = "array" if isinstance(value, list) else type(value).__name__
        raise ApiFault(400, f"json: cannot unmarshal {kind} into Go value of type main.{type_name}")
    return value


def _check_text(value: Any) -> None:
    """Raise ValueError where the value cannot be written as JSON in UTF-8 again.

    That is so for a lone surrogate, for NaN, and for numbers beyond a float. Kept, they would break every later reply
    that shows them.
    """
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        at = repr(error.object[max(0, error.start - _SHOWN) : error.end])
        raise ValueError(f"a lone surrogate, which is no character, in the text that ends with {at}") from error


def ok(status: int = 200) -> Response:
    """Return the reply of calls that have no result."""
    return JSONResponse({"ok": True}, status_code=status)


def app_of(engine: Engine, request: Request) -> str:
    """Return the name of the path's app. Raises ApiFault where there is no such app."""
    return engine.app(request.path_params["app"]).name


def names_of(request: Request) -> tuple[str, str]:
    """Return the names of the path's app and machine."""
    return request.path_params["app"], request.path_params["machine"]


def nonce_of(request: Request) -> str | None:
    """Return the nonce of the lease that the caller claims to hold."""
    return request.header(_NONCE)


def states_of(request: Request) -> list[str]:
    """Return the states of repeated or comma-separated `state` parameters."""
    return [state for value in request.query_params.getlist("state") for state in value.split(",") if state]


def flag_of(request: Request, name: str) -> bool:
    """Return whether the query parameter is true."""
    return request.query_params.get(name) in {"true", "1"}
