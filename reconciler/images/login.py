"""Answer a registry's challenge, with a password or a token."""

import base64
import json
import re
from collections.abc import Callable
from typing import Final

from reconciler.errors import RegistryError, RegistryErrorKind
from reconciler.http import is_loopback
from reconciler.images.credentials import Credentials
from reconciler.images.wire import Connection
from reconciler.model.image import ImageReference

_PARAMETER: Final = r'(?<!\w)(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))'
_SCHEME: Final = r"(?i)(?:^|,)\s*(Bearer|Basic)(?=\s|$)"
_MAX_TOKEN: Final = 64 * 1024


class Login:
    """Answer challenges, and cache the accepted authorization of each repository."""

    def __init__(self, connection: Connection, credentials: Callable[[str, str], Credentials | None]) -> None:
        self._connection = connection
        self._credentials = credentials
        self._known: dict[tuple[str, str], str] = {}

    def known(self, image: ImageReference) -> str | None:
        """Return the authorization that this repository accepted before."""
        return self._known.get((image.registry, image.repository))

    async def answer(self, image: ImageReference, challenges: str, *, is_second: bool) -> str:
        """Return the authorization that the challenge asks for.

        With `is_second` one was sent already, and an expired token is renewed once. Raises RegistryError if there are
        no credentials, or they are refused.
        """
        key = (image.registry, image.repository)
        found = self._credentials(image.registry, image.repository)
        challenge = _challenge(challenges)
        if challenge is None or (is_second and key not in self._known):
            raise _denied(image, "does not say how to log in")
        scheme, parameters = challenge
        if scheme == "basic":
            if found is None or not found.user:
                raise _denied(image, "wants a user and a password")
            self._known[key] = _basic(found)
        else:
            self._known[key] = f"Bearer {await self._token(image, parameters, found)}"
        return self._known[key]

    async def _token(self, image: ImageReference, parameters: dict[str, str], found: Credentials | None) -> str:
        realm = parameters.get("realm", "")
        host = image.registry
        if not realm.startswith("https://") and not (is_loopback(realm) and is_loopback(f"http://{host}")):
            raise _denied(image, "names no token server that can be trusted")
        scope = parameters.get("scope") or f"repository:{image.repository}:pull"
        query = {"scope": scope} | ({"service": parameters["service"]} if parameters.get("service") else {})
        if found and not found.user:  # an identity token is exchanged for one of this scope
            form = query | {"grant_type": "refresh_token", "refresh_token": found.password.reveal(), "client_id": "x"}
            answer = await self._connection.get(realm, accept="application/json", limit=_MAX_TOKEN, form=form)
        else:
            authorization = _basic(found) if found else None
            answer = await self._connection.get(
                realm, accept="application/json", limit=_MAX_TOKEN, authorization=authorization, query=query
            )
        if answer.status in {429} or answer.status >= 500:
            why = f"image {image.tagged}: the registry's token server answered {answer.status}"
            hint = "try again in a moment; RECONCILER_RESOLVE=never compares tags alone"
            raise RegistryError(why, kind=RegistryErrorKind.UNREACHABLE, hint=hint)
        try:
            said = json.loads(answer.content) if answer.status == 200 else {}
            token = said.get("token") or said.get("access_token")
        except (ValueError, AttributeError, RecursionError):
            token = None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise _denied(image, "gives no token for it")
        return token


def _challenge(header: str) -> tuple[str, dict[str, str]] | None:
    """Return the challenge to answer: Bearer if offered, else Basic; None otherwise."""
    found = {one[1].lower(): one.end() for one in reversed(list(re.finditer(_SCHEME, header)))}
    for scheme in ("bearer", "basic"):
        if scheme in found:
            rest = header[found[scheme] :]
            following = re.search(_SCHEME, rest)
            own = rest[: following.start()] if following else rest
            return scheme, {name.lower(): quoted or plain for name, quoted, plain in re.findall(_PARAMETER, own)}
    return None


def _basic(found: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{found.user}:{found.password.reveal()}".encode()).decode()


def _denied(image: ImageReference, why: str) -> RegistryError:
    hint = f"log in with `docker login {image.registry}`"
    return RegistryError(
        f"image {image.tagged}: registry {image.registry} {why}", kind=RegistryErrorKind.DENIED, hint=hint
    )
