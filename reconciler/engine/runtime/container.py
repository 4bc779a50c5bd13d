"""The `container` runtime: each start is a new container, in Docker or Podman.

A container is removed only after its end is on record. So an engine that starts after one that was killed finds the
containers by their labels, and reads how they ended.
"""

import asyncio
import io
import re
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, TypeAlias

from reconciler.containers.client import ContainerEngine
from reconciler.containers.errors import ContainerError
from reconciler.engine.config.images import name_to_pull
from reconciler.engine.runtime.base import Command, Ended, ImageError, Launch, Leftover, TakeOutput
from reconciler.engine.runtime.container_runs import RunningContainers, failure_code
from reconciler.model.image import ImageReference, parse_image

_ENGINE: Final = "machines-reconciler.engine"
_MACHINE: Final = "machines-reconciler.machine"
_START: Final = "machines-reconciler.start"
_MIB: Final = 1024 * 1024
_NANO: Final = 10**9
_FOR_ATTACH: Final = re.compile(r"preparing container \w+ for attach: ")  # of Podman's errors; it helps nobody
_SHARED_NETWORKS: Final = ("host", "none", "container:")

Authenticate: TypeAlias = Callable[[ImageReference], Awaitable[Mapping[str, str] | None]]
"""Returns the credentials for the image's registry, in the form of Docker's X-Registry-Auth header."""


class ContainerRuntime:
    """Run machines as containers.

    `owner` marks this engine's containers; `network` is Docker's name of one.
    """

    name = "container"
    uses_image = True

    def __init__(
        self, engine: ContainerEngine, *, owner: str, authenticate: Authenticate, network: str | None = None
    ) -> None:
        self.container_host: str | None = engine.address
        self._engine = engine
        self._owner = owner
        self._authenticate = authenticate
        self._network = network
        self.port_style: str = {"host": "host", "none": ""}.get(network or "", "published")
        self._names: dict[str, str] = {}  # the container engine's name of each image that is ready
        self._pulls: dict[str, asyncio.Lock] = {}
        self._has_init = True

    async def prepare(self, image: str) -> None:
        """Pull the image, unless it is there; only one pull of an image at a time."""
        async with self._pulls.setdefault(image, asyncio.Lock()):
            try:
                reference = parse_image(name_to_pull(image))
                name = await self._find(reference)
                if name is None:
                    await self._engine.pull(reference, auth=await self._authenticate(reference))
                    name = await self._find(reference)
            except (ContainerError, ValueError) as error:
                raise ImageError(f"unable to pull image {image}: {error}") from error
            if name is None:
                raise ImageError(f"unable to pull image {image}: it is not there after it was pulled")
            self._names[image] = name

    async def _find(self, image: ImageReference) -> str | None:
        """Return the name of the image in the container engine.

        None where it is not there. The "digest" of an image that was built here and never pushed is its id.
        """
        names = (f"{image.name}@{image.digest}", image.digest) if image.digest else (image.tagged,)
        for name in names:
            if await self._engine.image(name):
                return name
        return None

    async def start(self, launch: Launch, take: TakeOutput) -> RunningContainers:
        """Start a container for each command.

        One that cannot run ends the run as in a shell: 127 or 126.
        """
        running = RunningContainers(self._engine, take)
        try:
            for number, command in enumerate(launch.commands):
                container = await self._create(launch, number, command, running.first)
                running.add(container)
                if number == 0 and launch.files:
                    await self._engine.put(container, _archive(launch.files))
                running.read(container, await self._engine.attach(container, has_terminal=launch.has_terminal))
                await self._engine.start(container)
        except ContainerError as error:
            take("", f"cannot run the container: {_FOR_ATTACH.sub('', str(error))}")
            running.failed = Ended(code=failure_code(error))
        return running

    async def _create(self, launch: Launch, number: int, command: Command, first: str | None) -> str:
        name = f"{launch.machine_id}-{launch.number}" + (f"-{number}" if number else "")
        body = self._body(launch, command, first)
        try:
            return await self._engine.create(name, body)
        except ContainerError as error:
            if not self._has_init or "init" not in str(error):
                raise
        self._has_init = False  # it has no init: the command itself becomes process 1
        return await self._engine.create(name, self._body(launch, command, first))

    def _body(self, launch: Launch, command: Command, first: str | None) -> dict[str, Any]:
        limits = launch.limits
        memory = limits.memory_mb * _MIB
        host: dict[str, Any] = {
            "Memory": memory,
            "MemorySwap": memory + limits.swap_mb * _MIB,
            "NanoCpus": min(limits.cpus, self._engine.cpus or limits.cpus) * _NANO,
            "Init": self._has_init,
            "RestartPolicy": {"Name": "no"},
            "Binds": [f"{directory}:/{path}" for directory, path in launch.mounts],
        }
        network = self._network or ""
        if first and not network.startswith(_SHARED_NETWORKS):
            network = f"container:{first}"
        if network:
            host["NetworkMode"] = network
        body: dict[str, Any] = {
            "Image": self._names[launch.image],
            "Env": [f"{key}={value}" for key, value in command.env.items()],
            "Labels": {_ENGINE: self._owner, _MACHINE: launch.machine_id, _START: str(launch.number)},
            "Tty": launch.has_terminal,
            "HostConfig": host,
        }
        if launch.ports and not first:
            body["ExposedPorts"] = {f"{internal}/tcp": {} for internal, _ in launch.ports}
            host["PortBindings"] = {
                f"{internal}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}] for internal, port in launch.ports
            }
        if not network.startswith(_SHARED_NETWORKS):
            body["Hostname"] = launch.machine_id
        if command.entrypoint is not None:
            body["Entrypoint"] = list(command.entrypoint)
        if command.cmd is not None:
            body["Cmd"] = list(command.cmd)
        if command.user:
            body["User"] = command.user
        return body

    def forget(self, machine_id: str) -> None:
        """Do nothing: each container is removed after its end."""

    async def recover(self, left: Mapping[str, Leftover]) -> Mapping[str, Ended]:
        """Remove all containers of this engine.

        Return how those ended that had ended already.
        """
        found = await self._engine.containers(f"{_ENGINE}={self._owner}")
        ends: dict[str, Ended] = {}
        for one in found:
            machine_id = one.labels.get(_MACHINE, "")
            if machine_id in left and one.labels.get(_START) == str(left[machine_id].number):
                state = await self._engine.state(one.id)
                if state.is_over and state.code >= 0:
                    ends[machine_id] = Ended(code=state.code, oom_killed=state.is_oom_killed)
        await asyncio.gather(*(self._engine.remove(one.id) for one in found))
        return ends

    async def close(self) -> None:
        """Close the connections to the container engine."""
        await self._engine.close()


def _archive(files: tuple[tuple[PurePosixPath, bytes, int], ...]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for path, content, mode in files:
            entry = tarfile.TarInfo(str(path))
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()
