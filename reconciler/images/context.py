"""What a build is made of, as one digest: the context's files as the builder sees them, Dockerfile, target and args.

The same content has the same digest wherever it is checked out: no times, owners or paths of this machine are in it.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from reconciler.dockerignore import Ignore, kept, read_ignore
from reconciler.errors import BuildError
from reconciler.model.spec import Build

TAG_PREFIX: Final = "ctx-"
_SCHEME: Final = b"reconciler context 1\0"
_CHUNK: Final = 1024 * 1024
_TAG_DIGITS: Final = 32
_MOST_FILES: Final = 200_000


def context_tag(build: Build, base: Path) -> str:
    """The tag of the image that this content makes. Paths of the build are seen from `base`. Raises BuildError."""
    context = context_of(build, base)
    dockerfile = dockerfile_of(build, base)
    found = hashlib.sha256(_SCHEME)
    for part in ("linux/amd64", build.target or "", *(f"{name}={value}" for name, value in sorted(build.args.items()))):
        _add(found, part.encode("utf-8", "surrogatepass"))
    try:
        _add(found, dockerfile.read_bytes())
        for count, (path, name) in enumerate(kept(context, _ignore(context, dockerfile))):
            if count == _MOST_FILES:
                hint = "leave some out by .dockerignore"
                raise BuildError(f"the context has more than {_MOST_FILES} files", hint=hint)
            _add_file(found, path, name)
    except OSError as error:
        raise BuildError(f"the context {build.context} cannot be read: {error.strerror}: {error.filename}") from error
    return TAG_PREFIX + found.hexdigest()[:_TAG_DIGITS]


def context_of(build: Build, base: Path) -> Path:
    """The context's directory. Raises BuildError."""
    context = base / build.context
    if not context.is_dir():
        raise BuildError(f"the build's context {build.context} is no directory", hint="it is seen from the spec's file")
    return context


def dockerfile_of(build: Build, base: Path) -> Path:
    """The Dockerfile, in the context or beside it. Raises BuildError."""
    dockerfile = context_of(build, base) / build.dockerfile
    if not dockerfile.is_file():
        raise BuildError(f"there is no {build.dockerfile} in {build.context}", hint="name it with `build.dockerfile`")
    return dockerfile


def _ignore(context: Path, dockerfile: Path) -> Ignore:
    """The ignore file of this Dockerfile, else the context's."""
    return read_ignore(dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore")


def _add_file(found: "hashlib._Hash", path: Path, name: str) -> None:
    status = path.lstat()
    is_runnable = bool(status.st_mode & stat.S_IXUSR)
    _add(found, name.encode("utf-8", "surrogateescape"))
    if stat.S_ISLNK(status.st_mode):
        _add(found, b"link " + os.fsencode(path.readlink()))
    elif stat.S_ISDIR(status.st_mode):
        _add(found, b"directory")
    elif stat.S_ISREG(status.st_mode):
        content = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                content.update(chunk)
        _add(found, (b"program " if is_runnable else b"file ") + content.digest())
    else:
        _add(found, b"special")


def _add(found: "hashlib._Hash", part: bytes) -> None:
    """A part behind its length, so that no two lists of parts look alike."""
    found.update(len(part).to_bytes(8, "big") + part)
