"""The calls of a container engine's API that images and machines need.

Paths have no version, so that Docker and Podman use the newest that they know. The facts are from the reference of the
Docker Engine API, and were tried with Podman 4.3; comments say where Podman differs.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx
from msgspec import Struct

from reconciler.containers.errors import ContainerError
from reconciler.containers.wire import Output, Wire
from reconciler.http import is_loopback
from reconciler.model.image import DOCKER_HUB, ImageReference

PLATFORM: Final = "linux/amd64"
_CHUNK: Final = 1024 * 1024
_LONGEST_TEXT: Final = 400
_LIVE: Final = frozenset({"running", "paused", "restarting", "stopping"})
_NEVER_RAN: Final = "created"
_LIBPOD: Final = "/v4.0.0/libpod"
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.5
_DRAIN_S: Final = 1.0


class Image(Struct, frozen=True, kw_only=True):
    """An image in the engine.

    `id` is its config's digest; `digests` are `repository@digest`.
    """

    id: str
    digests: tuple[str, ...]


class State(Struct, frozen=True, kw_only=True):
    """Whether a container has ended, and how; the code is -1 where it is not known."""

    is_over: bool
    code: int
    is_oom_killed: bool


class Found(Struct, frozen=True, kw_only=True):
    """A container of a list."""

    id: str
    labels: Mapping[str, str]


class Executed(Struct, frozen=True, kw_only=True):
    """How a command of an exec ended, with its output."""

    code: int
    stdout: bytes
    stderr: bytes


class ContainerEngine:
    """One container engine.

    Each call raises ContainerError where the engine refuses it or does not answer.
    """

    def __init__(self, address: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.address = address
        self._wire = Wire(address, transport=transport)
        self.is_podman: bool = False
        self.cpus: int = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def connect(self) -> None:
        """Ask whether this is Docker or Podman, and how many CPUs there are."""
        version = await self._wire.json("GET", "/version")
        parts = version.get("Components") or []
        self.is_podman = any("podman" in str(part.get("Name", "")).lower() for part in parts)
        self.cpus = int((await self._wire.json("GET", "/info")).get("NCPU") or 0)

    # Images

    async def image(self, name: str) -> Image | None:
        """Return the image of this name or id; None where the engine does not have it."""
        try:
            found = await self._wire.json("GET", f"/images/{name}/json")
        except ContainerError as error:
            if error.status == 404:
                return None
            raise
        image_id = str(found.get("Id") or "")
        has_algorithm = image_id.startswith("sha256:")
        return Image(
            id=image_id if has_algorithm else f"sha256:{image_id}", digests=tuple(found.get("RepoDigests") or ())
        )

    async def pull(self, image: ImageReference, *, auth: Mapping[str, str] | None) -> None:
        """Pull the image from its registry, by its digest where it names one."""
        headers = (
            {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(dict(auth)).encode()).decode()} if auth else {}
        )
        is_local = is_loopback(f"http://{image.registry}")
        name = f"{image.registry}/{image.repository}"
        which = image.digest or image.tag or "latest"
        if self.is_podman and is_local:
            # Docker allows a loopback registry without TLS by default; Podman only by a call of its own API.
            mark = "@" if image.digest else ":"
            query = {"reference": f"{name}{mark}{which}", "tlsVerify": "false"}
            path = f"{_LIBPOD}/images/pull"
        else:
            short = image.repository.removeprefix("library/") if image.registry == DOCKER_HUB else name
            query = {"fromImage": short, "tag": which, "platform": PLATFORM}
            path = "/images/create"
        async for line in self._wire.progress("POST", path, query=query, headers=headers):
            if why := line.get("error"):
                raise ContainerError(str(why).strip()[:_LONGEST_TEXT])

    async def load(self, archive: Path) -> None:
        """Load the images of an archive that `docker save` wrote."""
        content = _chunks(archive)
        async for line in self._wire.progress("POST", "/images/load", content=content):
            if why := line.get("error"):
                raise ContainerError(str(why).strip()[:_LONGEST_TEXT])

    # Containers

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Create a container, and return its id."""
        query = {"name": name} if self.is_podman else {"name": name, "platform": PLATFORM}
        return str((await self._wire.json("POST", "/containers/create", query=query, body=body))["Id"])

    async def put(self, container: str, archive: bytes) -> None:
        """Write the files of a tar archive below the container's root."""
        headers = {"Content-Type": "application/x-tar"}
        await self._wire.call(
            "PUT", f"/containers/{container}/archive", query={"path": "/"}, content=archive, headers=headers
        )

    async def attach(self, container: str, *, has_terminal: bool = False) -> Output:
        """Return the output of a container; call it before the start to get all of it."""
        query = {"stream": "1", "stdout": "1", "stderr": "1"}
        return await self._wire.stream(f"/containers/{container}/attach", query=query, has_terminal=has_terminal)

    async def start(self, container: str) -> None:
        """Start the container."""
        await self._wire.call("POST", f"/containers/{container}/start")

    async def kill(self, container: str, number: int) -> None:
        """Send the signal to the container's first process, unless it has ended."""
        try:
            await self._wire.call("POST", f"/containers/{container}/kill", query={"signal": str(number)})
        except ContainerError as error:
            if error.status not in {404, 409, 500} or not (await self.state(container)).is_over:
                raise

    async def pause(self, container: str) -> None:
        """Pause all its processes."""
        await self._wire.call("POST", f"/containers/{container}/pause")

    async def unpause(self, container: str) -> None:
        """Continue its paused processes."""
        await self._wire.call("POST", f"/containers/{container}/unpause")

    async def top(self, container: str) -> list[tuple[int, str]]:
        """Return pid and command of each process, as `ps` shows them."""
        found = await self._wire.json("GET", f"/containers/{container}/top")
        titles = [str(title).upper() for title in found.get("Titles") or []]
        pid, command = titles.index("PID"), len(titles) - 1
        return [(int(row[pid]), str(row[command])) for row in found.get("Processes") or []]

    async def ended(self, container: str) -> State:
        """Wait for the container's end, and return its state."""
        state = await self.state(container)  # Podman's wait polls only every quarter of a second
        while not state.is_over:
            query = {"condition": "not-running"}
            await self._wire.call("POST", f"/containers/{container}/wait", query=query, timeout_s=None)
            state = await self.state(container)
        return state

    async def state(self, container: str) -> State:
        """Return the state.

        A container that is gone has ended, with an unknown code (-1).
        """
        try:
            state = (await self._wire.json("GET", f"/containers/{container}/json"))["State"]
        except ContainerError as error:
            if error.status == 404:
                return State(is_over=True, code=-1, is_oom_killed=False)
            raise
        status = state.get("Status")
        return State(
            is_over=status not in _LIVE,
            code=-1 if status == _NEVER_RAN else _code(state.get("ExitCode")),
            is_oom_killed=bool(state.get("OOMKilled")),
        )

    async def remove(self, container: str) -> None:
        """Kill and remove the container and what it wrote, unless it is gone."""
        try:
            await self._wire.call("DELETE", f"/containers/{container}", query={"force": "1", "v": "1"})
        except ContainerError as error:
            if error.status not in {404, 409}:  # 409: it is being removed
                raise

    async def containers(self, label: str) -> list[Found]:
        """Return the containers with this label (`key=value`), running or not."""
        filters = json.dumps({"label": [label]})
        found = await self._wire.json("GET", "/containers/json", query={"all": "1", "filters": filters})
        return [Found(id=str(one["Id"]), labels=one.get("Labels") or {}) for one in found]

    async def execute(self, container: str, words: tuple[str, ...]) -> Executed:
        """Run a command in a running container, and return how it ended.

        What it left in the background may keep its output open: that is read for one second more.
        """
        body = {"Cmd": list(words), "AttachStdout": True, "AttachStderr": True}
        number = (await self._wire.json("POST", f"/containers/{container}/exec", body=body))["Id"]
        output = await self._wire.stream(f"/exec/{number}/start", body={"Detach": False, "Tty": False})
        taken = {"stdout": bytearray(), "stderr": bytearray()}
        reading = asyncio.create_task(_read(output, taken))
        try:
            code = await self._exec_code(number, reading)
            await asyncio.wait({reading}, timeout=_DRAIN_S)
        finally:
            reading.cancel()
            await asyncio.wait({reading})
        if not reading.cancelled():
            reading.result()
        return Executed(code=code, stdout=bytes(taken["stdout"]), stderr=bytes(taken["stderr"]))

    async def _exec_code(self, number: str, reading: "asyncio.Task[None]") -> int:
        """Wait for the exec's exit code by polling: there is no call that waits for it."""
        is_drained, pause_s = False, _FIRST_PAUSE_S
        while True:
            await (asyncio.sleep(pause_s) if is_drained else asyncio.wait({reading}, timeout=pause_s))
            is_drained, pause_s = reading.done(), min(_LONGEST_PAUSE_S, pause_s * 1.5)
            state = await self._wire.json("GET", f"/exec/{number}/json")
            code = _code(state.get("ExitCode"))
            # Docker answers the start before the command runs: then there is no code yet.
            if not state.get("Running") and (code >= 0 or is_drained):
                return code


async def _read(output: Output, taken: Mapping[str, bytearray]) -> None:
    async for stream, content in output.parts():
        taken[stream].extend(content)


def _code(value: Any) -> int:
    """Return an exit code.

    -1 for anything that is none, so that it is never a success.
    """
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(file.open, "rb") as opened:
        while chunk := await asyncio.to_thread(opened.read, _CHUNK):
            yield chunk
