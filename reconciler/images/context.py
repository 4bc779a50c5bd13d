"""Compute the digest of a build: context, Dockerfile, target and args.

The same content has the same digest wherever it is checked out: times, owners and absolute paths do not count.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from reconciler.dockerignore import Ignore, kept, read_ignore
from reconciler.errors import BuildError
from reconciler.model.image import CONTENT_TAG
from reconciler.model.spec import Build

_SCHEME: Final = b"reconciler context 1\0"
_CHUNK: Final = 1024 * 1024
_TAG_DIGITS: Final = 32
_MOST_FILES: Final = 200_000


def context_tag(build: Build, base: Path) -> str:
    """Return the tag for the build's content. Paths are relative to `base`.

    Raises BuildError.
    """
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
        why = f"the context {build.context} cannot be read: {error.strerror}: {error.filename}"
        raise BuildError(why, hint="make it readable, or leave it out by .dockerignore") from error
    return CONTENT_TAG + found.hexdigest()[:_TAG_DIGITS]


def context_of(build: Build, base: Path) -> Path:
    """Return the context's directory. Raises BuildError."""
    context = base / build.context
    if not context.is_dir():
        raise BuildError(
            f"the build's context {build.context} is no directory", hint="the path is relative to the spec file"
        )
    return context


def dockerfile_of(build: Build, base: Path) -> Path:
    """Return the path of the Dockerfile. Raises BuildError."""
    dockerfile = context_of(build, base) / build.dockerfile
    if not dockerfile.is_file():
        raise BuildError(f"there is no {build.dockerfile} in {build.context}", hint="name it: `build: {dockerfile: …}`")
    return dockerfile


def _ignore(context: Path, dockerfile: Path) -> Ignore:
    """Read the ignore file of this Dockerfile, else the context's."""
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
    """Add a part after its length, so that two different lists of parts differ."""
    found.update(len(part).to_bytes(8, "big") + part)
