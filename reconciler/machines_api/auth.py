"""Tokens: where they come from, and how each kind is sent."""

from collections.abc import Callable, Mapping
from typing import Final

from reconciler.errors import TargetError
from reconciler.model.secret import Secret
from reconciler.model.tokens import token_parts

_MACAROON_PREFIXES: Final = ("fm1r_", "fm1a_", "fm2_")
_VARIABLES: Final = ("FLY_ACCESS_TOKEN", "FLY_API_TOKEN")


def authorization_header(token: Secret) -> str:
    """The header's value: macaroons as `FlyV1 a,b`, anything else as `Bearer a`; scheme words already there are cut."""
    macaroons = _macaroons(token)
    return f"FlyV1 {','.join(macaroons)}" if macaroons else f"Bearer {','.join(token_parts(token.reveal()))}"


def registry_password(token: Secret) -> Secret:
    """What Fly's own registry takes for a password: the macaroons, else the whole token; no scheme word before it."""
    return Secret(",".join(_macaroons(token) or token_parts(token.reveal())))


def _macaroons(token: Secret) -> list[str]:
    return [part for part in token_parts(token.reveal()) if part.startswith(_MACAROON_PREFIXES)]


def find_token(
    environment: Mapping[str, str], read_flyctl_config: Callable[[], str | None]
) -> tuple[Secret, str] | None:
    """The token and the name of its source: FLY_ACCESS_TOKEN, FLY_API_TOKEN, what flyctl stored; None without any.

    Raises TargetError where flyctl's file cannot be understood, or a token holds what no header may.
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
    """Whether a header may hold it."""
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
