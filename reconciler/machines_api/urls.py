"""The URLs of an API and of its logs. A token goes to no host that the user did not choose."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from reconciler.errors import TargetError

FLY_API_URL: Final = "https://api.machines.dev"
FLY_LOGS_URL: Final = "https://api.fly.io"
_FLY_HOSTS: Final = {"api.machines.dev", "_api.internal"}


def api_base_url(environment: Mapping[str, str]) -> str:
    """Fly's own API, or what FLY_FLAPS_BASE_URL or FLY_API_HOSTNAME say; without `/v1`. Raises TargetError."""
    for name in ("FLY_FLAPS_BASE_URL", "FLY_API_HOSTNAME"):
        if value := environment.get(name):
            return parse_target_url(value if "://" in value else f"https://{value}", source=name)
    return FLY_API_URL


def parse_target_url(text: str, *, source: str = "--target") -> str:
    """The base URL without `/v1`, query and trailing slash. Raises TargetError where it is no http(s) URL."""
    if "@" in text:
        raise TargetError(f"{source}: no user or password in the URL", hint="set FLY_API_TOKEN instead")
    from reconciler.http import httpx

    try:
        parts = urlsplit(text.strip())
        port = parts.port
        _ = httpx.URL(text.strip()).host  # which looks at international names too
    except (ValueError, httpx.InvalidURL) as error:
        raise TargetError(f"{source}: {text!r} is not a URL", hint="write it like https://api.machines.dev") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise TargetError(f"{source}: {text!r} is not an http(s) URL", hint="write it like https://api.machines.dev")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"


def logs_base_url(base_url: str, environment: Mapping[str, str]) -> str:
    """Where logs are read: FLY_API_BASE_URL, else Fly's own for Fly itself, else the target's own host."""
    if value := environment.get("FLY_API_BASE_URL"):
        return parse_target_url(value, source="FLY_API_BASE_URL")
    return FLY_LOGS_URL if is_fly(base_url) else base_url


def is_fly(base_url: str) -> bool:
    """Whether the API is Fly itself."""
    return urlsplit(base_url).hostname in _FLY_HOSTS
