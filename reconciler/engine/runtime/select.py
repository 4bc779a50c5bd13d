"""Choose and make the runtime of an engine, by name."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.engine.errors import EngineStartError
from reconciler.engine.runtime.base import Runtime
from reconciler.engine.server.daemon import read_token

if TYPE_CHECKING:
    from reconciler.containers.client import ContainerEngine
    from reconciler.model.image import ImageReference

RUNTIMES: Final = ("process", "container")
_NETWORK: Final = "RECONCILER_CONTAINER_NETWORK"
_HUB_KEY: Final = "https://index.docker.io/v1/"
_HOW: Final = "start Docker or `podman system service`, or set DOCKER_HOST to its socket"


async def make_runtime(name: str, home: Path, environment: Mapping[str, str]) -> Runtime:
    """Return the runtime of this name for the home's engine. Raises EngineStartError."""
    if name == "process":
        from reconciler.engine.runtime.process import ProcessRuntime

        return ProcessRuntime(home / "machines")
    if name != "container":
        remedy = f"set RECONCILER_RUNTIME, or --runtime, to {' or '.join(RUNTIMES)}"
        raise EngineStartError(f"there is no runtime {name!r}", remedy=remedy)
    from reconciler.engine.runtime.container import ContainerRuntime

    async def authenticate(image: "ImageReference") -> Mapping[str, str] | None:
        return await asyncio.to_thread(_auth, image, environment)

    return ContainerRuntime(
        await _connected(environment),
        owner=hashlib.sha256(read_token(home).encode()).hexdigest()[:16],
        authenticate=authenticate,
        network=environment.get(_NETWORK) or None,
    )


async def _connected(environment: Mapping[str, str]) -> "ContainerEngine":
    """Return the first container engine that answers. Raises EngineStartError."""
    from reconciler.containers.client import ContainerEngine
    from reconciler.containers.errors import ContainerError
    from reconciler.containers.sockets import addresses

    reasons = []
    try:
        for address in addresses(environment):
            engine = ContainerEngine(address)
            try:
                await engine.connect()
                return engine
            except ContainerError as error:
                reasons.append(str(error))
                await engine.close()
    except ContainerError as error:
        raise EngineStartError(str(error), remedy=_HOW) from error
    why = "; ".join(reasons) or "no socket of one is in a usual place"
    raise EngineStartError(f"no container engine answers: {why}", remedy=f"{_HOW}; or use the runtime process")


def _auth(image: "ImageReference", environment: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return the user's login at the image's registry, as Docker's header has it.

    None without one.
    """
    from reconciler.errors import RegistryError
    from reconciler.images.credentials import find_credentials
    from reconciler.model.image import DOCKER_HUB
    from reconciler.model.secret import Secret

    token = environment.get("FLY_API_TOKEN")
    try:
        found = find_credentials(
            image.registry, image.repository, environment, fly_token=Secret(token) if token else None
        )
    except RegistryError:
        return None  # a credential helper failed: where credentials are needed, the pull fails and says so
    if found is None:
        return None
    address = {"serveraddress": _HUB_KEY if image.registry == DOCKER_HUB else image.registry}
    if not found.user:
        return address | {"identitytoken": found.password.reveal()}
    return address | {"username": found.user, "password": found.password.reveal()}
