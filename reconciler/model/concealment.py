"""Know tokens and secrets, and take them out of a text in every spelling.

A pipeline's job has tokens in its variables, whether the spec names them or not. They are concealed in every output. A
spec may use them only where values are masked.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

_VARIABLES: Final = frozenset(
    {"FLY_API_TOKEN", "FLY_ACCESS_TOKEN", "FLY_METRICS_TOKEN"}
    | {"GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"}
    | {"GITLAB_TOKEN", "GITLAB_ACCESS_TOKEN", "GITLAB_PRIVATE_TOKEN", "CI_JOB_TOKEN", "CI_BUILD_TOKEN"}
    | {"CI_JOB_JWT", "CI_JOB_JWT_V1", "CI_JOB_JWT_V2", "CI_DEPLOY_PASSWORD", "CI_DEPENDENCY_PROXY_PASSWORD"}
    | {"CI_REGISTRY_PASSWORD", "DOCKER_AUTH_CONFIG", "DOCKER_PASSWORD", "DOCKER_TOKEN", "REGISTRY_PASSWORD"}
    | {"DOCKERHUB_TOKEN", "DOCKERHUB_PASSWORD", "DOCKER_HUB_TOKEN", "DOCKER_HUB_PASSWORD", "REGISTRY_TOKEN"}
)
_OF_ACTIONS: Final = r"ACTIONS_[A-Z0-9_]*TOKEN"  # ACTIONS_RUNTIME_TOKEN, ACTIONS_ID_TOKEN_REQUEST_TOKEN
_SCHEMES: Final = r"(?i)(?:\s*(?:bearer|flyv1)\s+)+"
# The members of Docker's config.json that are secrets.
_SECRETS_OF_DOCKER: Final = frozenset({"auth", "password", "identitytoken", "registrytoken"})
_ESCAPED_IN_HTML: Final = "&<>\"'"
CONCEALED: Final = "***"
SHORTEST_SECRET: Final = 8  # what is as short as a word is left: taking it out would riddle the output
CUT: Final = "…"  # stands where a text was cut off
_MACAROON: Final = r"fm\d[a-z]?_"

Forms = Callable[[str], Iterable[str]]  # the ways in which a secret may be written


def is_token_variable(name: str) -> bool:
    """Return whether this variable holds a token of the tool or of its pipeline."""
    return name in _VARIABLES or (name.startswith("ACTIONS_") and re.fullmatch(_OF_ACTIONS, name) is not None)


def known_tokens(environment: Mapping[str, str]) -> Iterator[str]:
    """Return the tokens that the environment holds, each of a list by itself."""
    for name, value in environment.items():
        if not is_token_variable(name):
            continue
        if value.lstrip().startswith("{"):
            yield from _tokens_of_docker(value)
        else:
            yield from token_parts(value)


def token_parts(text: str) -> list[str]:
    """Return the tokens in one, without scheme words.

    flyctl keeps several, with commas between.
    """
    scheme = re.match(_SCHEMES, text)
    bare = text[scheme.end() :] if scheme else text
    return [part.strip() for part in bare.split(",") if part.strip()]


def _tokens_of_docker(text: str) -> Iterator[str]:
    """Return the secrets of a Docker config.json, as pipelines keep it in a variable."""
    import json

    with suppress(ValueError, RecursionError):
        yield from _secrets_of_docker(json.loads(text))


def _secrets_of_docker(value: Any) -> Iterator[str]:
    import base64

    members = value.items() if isinstance(value, dict) else ()
    for key, member in members:
        if isinstance(member, dict):
            yield from _secrets_of_docker(member)
        elif key in _SECRETS_OF_DOCKER and isinstance(member, str):
            yield member
            if key == "auth":
                with suppress(ValueError):
                    yield base64.b64decode(member, validate=True).decode().partition(":")[2]


class Concealment:
    """The tokens that no output may show. More are added as they become known."""

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self._tokens: set[str] = set()
        self._forms: list[str] = []
        for token in tokens:
            self.add(token)

    def add(self, token: str) -> None:
        """Conceal this token too, from now on, and each token of a list.

        What is as short as a word is not concealed.
        """
        for one in (token, *token_parts(token)):
            if len(one) >= SHORTEST_SECRET and one not in self._tokens:
                self._tokens.add(one)
                self._learn(one)

    def conceal(self, text: str) -> str:
        """Return the text without any of the tokens, also without one that was cut off."""
        if any(form in text for form in self._forms):
            text = re.sub("|".join(re.escape(form) for form in self._forms), CONCEALED, text)
        if CUT not in text:
            return text
        *cut, last = text.split(CUT)
        return CUT.join([*(self._without_beginning(part) for part in cut), last])

    def _learn(self, token: str) -> None:
        bare = re.sub(_MACAROON, "", token, count=1)
        found = {*self._forms, *forms_of(token), *(forms_of(bare) if bare != token else ())}
        self._forms = sorted((one for one in found if len(one) >= SHORTEST_SECRET), key=len, reverse=True)

    def _without_beginning(self, part: str) -> str:
        for token in self._tokens:
            part = without_beginning(part, token)
        return part


class OftenConcealed:
    """Tokens that each call of a client has. Their forms are made once."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._forms: dict[str, tuple[str, ...]] = dict.fromkeys(tokens, ())

    def __iter__(self) -> Iterator[str]:
        return iter(self._forms)

    def forms_of(self, secret: str) -> Iterable[str]:
        """Return what `forms_of` does, of any secret."""
        if secret not in self._forms:
            return forms_of(secret)
        self._forms[secret] = self._forms[secret] or tuple(forms_of(secret))
        return self._forms[secret]


def without_beginning(text: str, secret: str) -> str:
    """Cut the beginning of a secret off the end of the text, if it is long enough."""
    head = secret[:SHORTEST_SECRET]
    at = text.find(head, max(0, len(text) - len(secret)))
    while at >= 0:
        if secret.startswith(text[at:]):
            return text[:at] + CONCEALED
        at = text.find(head, at + 1)
    return text


def forms_of(secret: str) -> Iterator[str]:
    """Return the ways in which a secret may be written.

    They are the secret as it is; as JSON, Python, HTML, Markdown or a URL spells it; line by line; in base64 at any
    place of what was encoded; or decoded from base64.
    """
    import base64
    import json
    from urllib.parse import quote, quote_plus

    yield secret
    yield from (json.dumps(secret, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
    yield repr(secret)[1:-1]
    yield " ".join(secret.split())
    if any(character in secret for character in _ESCAPED_IN_HTML):
        from html import escape  # it brings the table of all entities, and hardly a token needs it

        yield escape(secret)
    yield secret.replace("`", "'").replace("|", "\\|")
    yield from (line.strip() for line in secret.splitlines())
    for encoded in (quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")):
        yield from (encoded, re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), encoded))
    for encoded in _base64_forms(secret.encode("utf-8", "surrogatepass")):
        yield from (encoded, encoded.replace("+", "-").replace("/", "_"))
    with suppress(ValueError):
        decoded = base64.b64decode(secret, validate=True).decode()
        yield decoded
        yield from (line.strip() for line in decoded.splitlines())


def _base64_forms(secret: bytes) -> Iterator[str]:
    """Return the part of a longer text's base64 that the secret alone determines.

    There is one for each place at which the secret may begin.
    """
    import base64

    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret).decode()
        yield encoded[-(-8 * before // 6) : 8 * (before + len(secret)) // 6]
