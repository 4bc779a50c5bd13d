"""Find the URL of the API, the URL of its logs, and the token.

Each kind of token is sent in its own way, and only to a host that the user chose.
"""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from reconciler.errors import TargetError
from reconciler.model.concealment import token_parts
from reconciler.model.secret import Secret

FLY_API_URL: Final = "https://api.machines.dev"
FLY_LOGS_URL: Final = "https://api.fly.io"
_FLY_HOSTS: Final = {"api.machines.dev", "_api.internal"}
_MACAROON_PREFIXES: Final = ("fm1r_", "fm1a_", "fm2_")
_VARIABLES: Final = ("FLY_ACCESS_TOKEN", "FLY_API_TOKEN")


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


def authorization_header(token: Secret) -> str:
    """Return the Authorization header: `FlyV1 a,b` for macaroons, else `Bearer a`.

    A scheme that the token already begins with is removed first.
    """
    macaroons = _macaroons(token)
    return f"FlyV1 {','.join(macaroons)}" if macaroons else f"Bearer {','.join(token_parts(token.reveal()))}"


def registry_password(token: Secret) -> Secret:
    """Return the password for Fly's own registry.

    It is the macaroons of the token, else the whole token, without a scheme.
    """
    return Secret(",".join(_macaroons(token) or token_parts(token.reveal())))


def _macaroons(token: Secret) -> list[str]:
    return [part for part in token_parts(token.reveal()) if part.startswith(_MACAROON_PREFIXES)]


def find_token(
    environment: Mapping[str, str], read_flyctl_config: Callable[[], str | None]
) -> tuple[Secret, str] | None:
    """Return the token and the name of its source; None if there is no token.

    Sources in order: FLY_ACCESS_TOKEN, FLY_API_TOKEN, flyctl's config file. Raises TargetError if flyctl's file cannot
    be parsed, or if the token has characters that an HTTP header cannot carry.
    """
    for name in _VARIABLES:
        if value := environment.get(name, "").strip():
            return _checked(value, name), name
    text = read_flyctl_config()
    if text is None:
        return None
    stored = _stored_token(text)
    return (_checked(stored, "flyctl's config.yml"), "flyctl's config.yml") if stored else None


def is_sendable(token: str) -> bool:
    """Return whether an HTTP header can carry the token."""
    return token.isascii() and token.isprintable()


def _checked(value: str, source: str) -> Secret:
    if not is_sendable(value):
        raise TargetError(f"the token of {source} holds characters that no token has", hint="set it again")
    return Secret(value)


def _stored_token(text: str) -> str:
    import yaml

    try:
        stored = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TargetError("flyctl's config.yml is not YAML", hint="run `fly auth login` again") from error
    value = stored.get("access_token") if isinstance(stored, dict) else None
    return value.strip() if isinstance(value, str) else ""
