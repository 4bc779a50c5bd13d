"""Find the URLs of the API and of its logs.

A token is sent only to a host that the user chose.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from reconciler.errors import TargetError

FLY_API_URL: Final = "https://api.machines.dev"
FLY_LOGS_URL: Final = "https://api.fly.io"
_FLY_HOSTS: Final = {"api.machines.dev", "_api.internal"}


def api_base_url(environment: Mapping[str, str]) -> str:
    """Return the URL of the API, without `/v1`.

    It is FLY_FLAPS_BASE_URL, else FLY_API_HOSTNAME, else Fly's own. Raises TargetError.
    """
    for name in ("FLY_FLAPS_BASE_URL", "FLY_API_HOSTNAME"):
        if value := environment.get(name):
            return parse_target_url(value if "://" in value else f"https://{value}", source=name)
    return FLY_API_URL


def parse_target_url(text: str, *, source: str = "--target") -> str:
    """Return the base URL without `/v1`, query and trailing slash.

    Raises TargetError if it is not an http(s) URL.
    """
    if "@" in text:
        raise TargetError(f"{source}: no user or password in the URL", hint="set FLY_API_TOKEN instead")
    import httpx

    try:
        parts = urlsplit(text.strip())
        port = parts.port
        _ = httpx.URL(text.strip()).host  # checks international names too
    except (ValueError, httpx.InvalidURL) as error:
        raise TargetError(f"{source}: {text!r} is not a URL", hint="write it like https://api.machines.dev") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise TargetError(f"{source}: {text!r} is not an http(s) URL", hint="write it like https://api.machines.dev")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"


def logs_base_url(base_url: str, environment: Mapping[str, str]) -> str:
    """Return the URL of the logs.

    It is FLY_API_BASE_URL, else Fly's log API for Fly, else the target itself.
    """
    if value := environment.get("FLY_API_BASE_URL"):
        return parse_target_url(value, source="FLY_API_BASE_URL")
    return FLY_LOGS_URL if is_fly(base_url) else base_url


def is_fly(base_url: str) -> bool:
    """Return whether the API is Fly's own."""
    return urlsplit(base_url).hostname in _FLY_HOSTS
