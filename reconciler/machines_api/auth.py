"""Find the API token, and write it the way its kind is sent."""

from collections.abc import Callable, Mapping
from typing import Final

from reconciler.errors import TargetError
from reconciler.model.concealment import token_parts
from reconciler.model.secret import Secret

_MACAROON_PREFIXES: Final = ("fm1r_", "fm1a_", "fm2_")
_VARIABLES: Final = ("FLY_ACCESS_TOKEN", "FLY_API_TOKEN")


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
