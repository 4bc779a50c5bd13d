"""Build and push an image with docker, podman or buildah, whichever is installed.

No secret is in a command line: build args are passed by the environment, the registry's password by a temporary file.
"""

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from reconciler.errors import BuildError
from reconciler.http import is_loopback
from reconciler.images.credentials import Credentials
from reconciler.model.image import DOCKER_HUB, FLY_REGISTRY, ImageReference
from reconciler.model.spec import Build

BUILDERS: Final = ("docker", "podman", "buildah")
_PLATFORM: Final = "linux/amd64"
_LINES_SHOWN: Final = 20
_ENGINE_TIMEOUT_S: Final = 10
_LINE_LIMIT: Final = 64 * 1024
_HUB_KEY: Final = "https://index.docker.io/v1/"

TakeLine = Callable[[str], None]


class Builder(Struct, frozen=True, kw_only=True):
    """One of the programs, and its path. `say` gets each line of its output."""

    name: str
    program: str
    say: TakeLine

    async def build(self, build: Build, image: str, *, context: Path, dockerfile: Path) -> None:
        """Build the image and give it this name. Raises BuildError."""
        words = [self.program, "build", "--platform", _PLATFORM, "--tag", image, "--file", str(dockerfile)]
        if self.name == "podman":
            words += ["--layers=false"]  # podman 4.3 reuses cached layers although an ARG has another value
        words += ["--target", build.target] if build.target else []
        for name in sorted(build.args):
            words += ["--build-arg", name]
        await self._run([*words, str(context)], "the build", dict(build.args))

    async def tag(self, image: str, name: str) -> None:
        """Give the image a further name. Raises BuildError."""
        await self._run([self.program, "tag", image, name], "the tag", {})

    async def save(self, image: str, archive: Path) -> None:
        """Write the image to a file for `docker load`. Raises BuildError."""
        words = {
            "docker": ["save", "--output", str(archive), image],
            "podman": ["save", "--format", "docker-archive", "--output", str(archive), image],
            "buildah": ["push", image, f"docker-archive:{archive}:{image}"],
        }[self.name]
        await self._run([self.program, *words], "saving the image", {})

    async def push(self, image: ImageReference, credentials: Credentials | None) -> None:
        """Push the image of this name. Raises BuildError."""
        with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
            file = Path(folder) / "config.json"
            environment: dict[str, str] = {}
            words = [self.program]
            if credentials:
                _write_auth(file, image, credentials)
            if self.name == "docker":
                words += ["push"]
                environment = {"DOCKER_CONFIG": folder} if credentials else {}
            else:
                words += ["push", *(["--authfile", str(file)] if credentials else [])]
                words += ["--tls-verify=false"] if is_loopback(f"http://{image.registry}") else []
            hint = "on Fly the app must exist before its images: `reconciler apply --build` creates it first"
            is_fly = image.registry == FLY_REGISTRY
            await self._run([*words, image.tagged], "the push", environment, hint=hint if is_fly else None)

    async def _run(
        self, words: list[str], what: str, environment: Mapping[str, str], *, hint: str | None = None
    ) -> None:
        last: deque[str] = deque(maxlen=_LINES_SHOWN)
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                env=os.environ | environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                limit=_LINE_LIMIT,
            )
        except OSError as error:
            hint = f"does `{self.name} version` work? --builder names another one"
            raise BuildError(f"{self.name} cannot be run: {error.strerror}", hint=hint) from error
        assert process.stdout is not None
        try:
            while line := await _line(process.stdout):
                last.append(line)
                self.say(line)
            code = await process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()
            raise
        if code:
            shown = "\n".join(f"    {line}" for line in last)
            raise BuildError(f"{what} by {self.name} ended with {code}", hint=hint, lines=shown)


def find_builder(name: str | None, say: TakeLine) -> Builder:
    """Return the builder of this name, else the first that works. Raises BuildError."""
    for one in (name,) if name else BUILDERS:
        program = shutil.which(one)
        if program and (name or one != "docker" or _has_docker(program)):
            return Builder(name=one, program=program, say=say)
    hint = f"install one of {', '.join(BUILDERS)}, or build and push by other means and name the image with `image`"
    raise BuildError(f"there is no {name or 'builder'} here", hint=hint)


def _has_docker(program: str) -> bool:
    """Return whether the docker client has a server, other than Podman, that answers."""
    words = [program, "version", "--format", "{{json .Server}}"]
    try:
        ended = subprocess.run(words, capture_output=True, text=True, timeout=_ENGINE_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return False
    return ended.returncode == 0 and "podman" not in ended.stdout.lower()


async def _line(stream: asyncio.StreamReader) -> str:
    """Return the next line that is not empty; "" at the end of the stream."""
    while True:
        try:
            content = await stream.readline()
        except ValueError:  # longer than the limit
            content = await stream.read(_LINE_LIMIT)
        if not content:
            return ""
        if text := content.decode("utf-8", "replace").rstrip():
            return text


def _write_auth(file: Path, image: ImageReference, credentials: Credentials) -> None:
    """Write a Docker config file for this registry only, readable by its owner only."""
    key = _HUB_KEY if image.registry == DOCKER_HUB else image.registry
    if credentials.user:
        pair = f"{credentials.user}:{credentials.password.reveal()}".encode()
        entry = {"auth": base64.b64encode(pair).decode()}
    else:
        entry = {"auth": "", "identitytoken": credentials.password.reveal()}
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        json.dump({"auths": {key: entry}}, opened)
