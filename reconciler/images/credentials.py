"""Find credentials for a registry: from config files, helpers or the Fly token.

The files are read when a registry is first asked. Their contents are never shown.
"""

import base64
import binascii
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from reconciler.errors import RegistryError, RegistryErrorKind
from reconciler.model.image import DOCKER_HUB, FLY_REGISTRY
from reconciler.model.secret import Secret

_HUB_NAMES: Final = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")
_FLY_USER: Final = "x"
_TOKEN_USER: Final = "<token>"  # a helper's user name if the secret is an identity token
_HELPER_TIMEOUT_S: Final = 20
_MAX_BYTES: Final = 1024 * 1024


class Credentials(Struct, frozen=True, kw_only=True):
    """A user and a password.

    With an empty user, an identity token to exchange for others.
    """

    user: str
    password: Secret


def find_credentials(
    registry: str, repository: str, environment: Mapping[str, str], *, fly_token: Secret | None = None
) -> Credentials | None:
    """Return the credentials for this repository; None if there are none.

    For Fly's own registry the Fly token, else those of Docker's files, else of Podman's. Raises RegistryError if a
    credential helper cannot be run.
    """
    if fly_token and registry == environment.get("FLY_REGISTRY_HOST", FLY_REGISTRY):
        return Credentials(user=_FLY_USER, password=fly_token)
    for config in _configs(environment):
        if found := _from_config(config, registry, repository):
            return found
    return None


def _configs(environment: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    home = Path(environment.get("HOME") or "~").expanduser()
    docker = Path(environment.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    runtime = environment.get("XDG_RUNTIME_DIR")
    podman = [Path(one) for one in (environment.get("REGISTRY_AUTH_FILE"),) if one]
    podman += [Path(runtime) / "containers" / "auth.json"] if runtime else []
    for path in (docker, *podman, home / ".config" / "containers" / "auth.json"):
        try:
            with path.open("rb") as file:
                config = json.loads(file.read(_MAX_BYTES))
        except (OSError, ValueError):
            continue
        if isinstance(config, dict):
            yield config


def _from_config(config: Mapping[str, Any], registry: str, repository: str) -> Credentials | None:
    helpers = _map(config.get("credHelpers"))
    for name in _names(registry):
        if isinstance(helper := helpers.get(name), str):
            return _ask_helper(helper, name)
    auths = _map(config.get("auths"))
    if isinstance(store := config.get("credsStore"), str):
        for name in _names(registry):
            if found := _ask_helper(store, name):
                return found
    by_name = {_bare(name): value for name, value in auths.items() if isinstance(value, dict)}
    for name in _scopes(registry, repository):
        if name in by_name and (found := _from_entry(by_name[name])):
            return found
    return None


def _from_entry(entry: Mapping[str, Any]) -> Credentials | None:
    if isinstance(token := entry.get("identitytoken"), str) and token:
        return Credentials(user="", password=Secret(token))
    user, password = entry.get("username"), entry.get("password")
    if isinstance(auth := entry.get("auth"), str) and auth:
        try:
            user, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
    if not isinstance(user, str) or not isinstance(password, str) or not user:
        return None
    return Credentials(user=user, password=Secret(password))


def _ask_helper(helper: str, server: str) -> Credentials | None:
    """Run `docker-credential-HELPER get`; None if it does not know the server."""
    if not helper.replace("-", "").replace("_", "").isalnum():
        return None
    try:
        ended = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=server,
            capture_output=True,
            text=True,
            timeout=_HELPER_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = f"the credential helper docker-credential-{helper} cannot be run: {type(error).__name__}"
        hint = "install it, or take it out of Docker's config.json and log in again"
        raise RegistryError(why, kind=RegistryErrorKind.DENIED, hint=hint) from error
    if ended.returncode:
        return None
    try:
        said = json.loads(ended.stdout)
        user, secret = said["Username"], said["Secret"]
    except (ValueError, KeyError, TypeError):
        return None
    return Credentials(user="" if user == _TOKEN_USER else str(user), password=Secret(str(secret)))


def _names(registry: str) -> tuple[str, ...]:
    """Return the names that helpers use for a registry."""
    return _HUB_NAMES if registry == DOCKER_HUB else (registry, f"https://{registry}")


def _scopes(registry: str, repository: str) -> Iterator[str]:
    """Yield the keys of a registry in files, most specific first.

    Podman's files may name a repository.
    """
    parts = repository.split("/")
    for length in range(len(parts), 0, -1):
        yield f"{registry}/{'/'.join(parts[:length])}"
    yield from (_bare(name) for name in _names(registry))


def _bare(name: str) -> str:
    """Return host and path of a file's key, which may be a URL."""
    bare = name.removeprefix("https://").removeprefix("http://").rstrip("/")
    return bare.removesuffix("/v1").removesuffix("/v2")


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
