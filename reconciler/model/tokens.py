"""Know which variables hold tokens of the tool or of the pipeline.

A job of a pipeline has them whether the spec names them or not. So what they hold is concealed in every output, and a
spec may put them only where values are masked.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
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
_OF_ACTIONS: Final = re.compile(r"ACTIONS_[A-Z0-9_]*TOKEN")  # ACTIONS_RUNTIME_TOKEN, ACTIONS_ID_TOKEN_REQUEST_TOKEN
_SCHEMES: Final = re.compile(r"(?:\s*(?:bearer|flyv1)\s+)+", re.IGNORECASE)
# The members of Docker's config.json that are secrets.
_SECRETS_OF_DOCKER: Final = frozenset({"auth", "password", "identitytoken", "registrytoken"})


def is_token_variable(name: str) -> bool:
    """Return whether this variable holds a token of the tool or of its pipeline."""
    return name in _VARIABLES or _OF_ACTIONS.fullmatch(name) is not None


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
    scheme = _SCHEMES.match(text)
    bare = text[scheme.end() :] if scheme else text
    return [part.strip() for part in bare.split(",") if part.strip()]


def _tokens_of_docker(text: str) -> Iterator[str]:
    """Return the secrets of a Docker config.json, as pipelines keep it in a variable."""
    with suppress(ValueError, RecursionError):
        yield from _secrets_of_docker(json.loads(text))


def _secrets_of_docker(value: Any) -> Iterator[str]:
    members = value.items() if isinstance(value, dict) else ()
    for key, member in members:
        if isinstance(member, dict):
            yield from _secrets_of_docker(member)
        elif key in _SECRETS_OF_DOCKER and isinstance(member, str):
            yield member
            if key == "auth":
                with suppress(ValueError):
                    yield base64.b64decode(member, validate=True).decode().partition(":")[2]
