"""What git tells: the revision of a spec, and a spec as it is in a commit."""

import posixpath
import subprocess
from pathlib import Path
from typing import Final

from reconciler.errors import UsageError
from reconciler.model.revision import Revision, committed, numbered
from reconciler.model.spec import Spec

_LOG_TIMEOUT_S: Final = 5
_TIMEOUT_S: Final = 30


def revision_of(spec: Spec, number: int | None) -> Revision | None:
    """Return the given number as a revision; without one, that of the HEAD commit.

    HEAD is that of the repository in which the spec lies; None without a repository. Its revision is its committer
    time: counts of commits are wrong in shallow clones.
    """
    if number is not None:
        return numbered(number)
    if spec.file.startswith("<"):
        return None
    command = ["git", "-C", str(Path(spec.file).parent), "log", "-1", "--format=%ct %H"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_LOG_TIMEOUT_S, check=True)
        time_s, commit = ended.stdout.split()
        return committed(int(time_s), commit)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def file_of_commit(name: str, directory: Path) -> bytes | None:
    """Return the content of a file in a commit, `git:REF:PATH`.

    None if the commit has no such file. `directory` is in the repository. Raises UsageError.
    """
    reference, separator, path = name.removeprefix("git:").partition(":")
    path = posixpath.normpath(path) if path else path
    if not separator or not reference or not path or reference.startswith("-"):
        raise UsageError(f"{name!r} names no file of a commit", hint="write it like git:origin/main:machines.yaml")
    commit = _git(["rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}"], name, directory)
    if commit.returncode:
        hint = "a shallow clone has few commits: fetch it first"
        raise UsageError(f"git has no commit {reference}", hint=hint)
    listed = _git(["ls-tree", "--full-tree", reference, "--", path], name, directory)
    if listed.returncode == 0 and not listed.stdout.strip():
        return None
    ended = _git(["show", f"{reference}:{path}"], name, directory)
    if ended.returncode:
        why = ended.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise UsageError(f"git has no {name}: {why[-1]}", hint="paths are from the repository's root")
    return ended.stdout


def _git(words: list[str], name: str, directory: Path) -> subprocess.CompletedProcess[bytes]:
    line = ["git", "-C", str(directory), *words]
    try:
        return subprocess.run(line, capture_output=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"cannot ask git for {name}: {error}") from error
