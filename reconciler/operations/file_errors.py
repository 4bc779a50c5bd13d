"""Say why a file cannot be read or written, and what to do about it."""

import errno
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from reconciler.errors import UsageError

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MAY_NOT: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_INIT: Final = "`reconciler init` writes one"
_SOURCES: Final = ("fly.toml", "Dockerfile")  # of a first spec
_MOST: Final = 5


def cannot_write(what: str, file: str | os.PathLike[str], error: OSError) -> UsageError:
    """Return the error for a file that cannot be written; `what` begins it."""
    return UsageError(f"{what} {os.fspath(file)}: {error.strerror or error}", hint=how_to_write(file, error))


def how_to_write(file: str | os.PathLike[str], error: OSError) -> str | None:
    """Return what to do about a file that cannot be written."""
    parent = Path(file).parent
    if error.errno == errno.ENOENT and parent != Path():
        return f"make its directory first: `mkdir -p {parent}`"
    if error.errno in {errno.EISDIR, errno.ENOTDIR, errno.EEXIST}:
        return "name a file in a directory that exists"
    if error.errno in _MAY_NOT:
        return "name a file where you may write"
    return "free some space on that disk, or name a file on another one" if error.errno in _NO_ROOM else None


def cannot_read(
    file: str | os.PathLike[str], error: OSError, *, known: Iterable[str] = (), hint: str | None = None
) -> UsageError:
    """Return the error for a file that cannot be read.

    `known` are such files there; `hint` says how such a file is made.
    """
    name = os.fspath(file)
    if error.errno == errno.EISDIR:
        return UsageError(f"{name} is a directory", hint="name a file in it")
    if error.errno != errno.ENOENT:
        return UsageError(f"cannot read {name}: {error.strerror or error}", hint="name a file that you may read")
    return UsageError(f"there is no file {name}", hint=_others(name, list(known)) or hint)


def no_spec(start: Path) -> tuple[str, str]:
    """Say that there is no spec in the directory or above it, and what to do."""
    source = next((name for name in _SOURCES if (start / name).is_file()), None)
    near = _nearest("machines.yaml", yaml_files(start))
    if near:
        hint = f"did you mean `-f {near}`?"
    elif source:
        hint = f"{_INIT} from the {source} here; -f FILE names another file"
    else:
        hint = f"{_INIT}; -f FILE names another file"
    return f"there is no machines.yaml in {start}, nor above it up to the repository's root", hint


def yaml_files(directory: Path) -> list[str]:
    """Return the names of the YAML files in a directory."""
    try:
        return sorted(one.name for one in directory.iterdir() if one.suffix in {".yaml", ".yml"})
    except OSError:
        return []


def _others(name: str, known: Collection[str]) -> str | None:
    if near := _nearest(Path(name).name, known):
        return f"did you mean `{Path(name).with_name(near)}`?"
    if known and len(known) <= _MOST:
        return f"such files there: {', '.join(known)}"
    return None


def _nearest(name: str, known: Collection[str]) -> str | None:
    import difflib  # only for a misspelt name

    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.75)), None)
