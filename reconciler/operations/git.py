"""Read the checked out commit, and files of commits, from git.

The repository may be another user's, such as a checkout that is mounted in a container, and its configuration may be
hostile. So only commands are used that read objects and run nothing; safe.directory is set for this one folder; hooks,
pagers, file system monitors, replaced objects and every transport are off; git neither asks nor takes optional locks,
and it has a time limit.
"""

import os
import posixpath
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from reconciler.errors import UsageError

_HEAD_TIMEOUT_S: Final = 5
_TIMEOUT_S: Final = 30
_NO_REPOSITORY: Final = "the spec is in no git repository"
_COMMITTER: Final = r"(?m)^committer .*> ([0-9]{1,18}) [+-][0-9]{4}$"
_COMMIT: Final = r"(?s)([0-9a-f]{40,64}) commit [0-9]+\n(.*)"
# As `git rev-parse --local-env-vars` lists them: a hook of git has them, and they name its repository.
_OF_A_REPOSITORY: Final = frozenset({
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
})  # fmt: skip
_ENVIRONMENT: Final = {
    "GIT_ALLOW_PROTOCOL": "",  # no transport at all, whatever the repository's configuration allows
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


class NoCommitError(Exception):
    """Git does not tell which commit is checked out; the text says why."""


def head_commit(directory: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Return the committer time of HEAD, in seconds since 1970, and its hash.

    A shallow clone has them too. Raises NoCommitError.
    """
    if not _may_be_in_repository(directory) and _is_installed(environment):
        raise NoCommitError(_NO_REPOSITORY)  # without a process: it would take longer than a call of the API
    try:
        words = ["cat-file", "--batch"]
        ended = _run(directory, words, environment, timeout_s=_HEAD_TIMEOUT_S, lines=b"HEAD^{commit}\n")
    except FileNotFoundError as error:
        raise NoCommitError("git is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise NoCommitError(f"git did not answer within {_HEAD_TIMEOUT_S} s") from error
    except OSError as error:
        raise NoCommitError(f"git cannot be run: {error.strerror}") from error
    if ended.returncode:
        if _worktree_of(directory) is None:
            raise NoCommitError(_NO_REPOSITORY)
        raise NoCommitError(f"git says {_last_line(ended.stderr)!r}")
    found = re.match(_COMMIT, ended.stdout.decode("latin-1"))  # names in a commit may have any encoding
    committer = found and re.search(_COMMITTER, found[2].partition("\n\n")[0])
    if not found or not committer:
        raise NoCommitError("the repository has no commit to read")
    return int(committer[1]), found[1]


def file_of_commit(name: str, directory: Path, environment: Mapping[str, str]) -> bytes | None:
    """Return the content of a file in a commit, `git:REF:PATH`.

    None if the commit has no such file. `directory` is in the repository. Raises UsageError.
    """
    reference, separator, path = name.removeprefix("git:").partition(":")
    path = posixpath.normpath(path) if path else path
    if not separator or not reference or not path or reference.startswith("-"):
        raise UsageError(f"{name!r} names no file of a commit", hint="write it like git:origin/main:machines.yaml")
    commit = _git(["rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}"], name, directory, environment)
    if commit.returncode:
        hint = "a shallow clone has few commits: fetch it first"
        raise UsageError(f"git has no commit {reference}", hint=hint)
    listed = _git(["ls-tree", "--full-tree", reference, "--", path], name, directory, environment)
    if listed.returncode == 0 and not listed.stdout.strip():
        return None
    ended = _git(["cat-file", "blob", f"{reference}:{path}"], name, directory, environment)
    if ended.returncode:
        raise UsageError(f"git has no {name}: {_last_line(ended.stderr)}", hint="paths are from the repository's root")
    return ended.stdout


def _git(
    words: list[str], name: str, directory: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    try:
        return _run(directory, words, environment, timeout_s=_TIMEOUT_S)
    except FileNotFoundError as error:
        hint = "install git, or name a file in place of a commit"
        raise UsageError(f"cannot ask git for {name}: git is not installed", hint=hint) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"cannot ask git for {name}: {error}", hint="does `git status` work here?") from error


def _run(
    directory: Path, words: list[str], environment: Mapping[str, str], *, timeout_s: int, lines: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run git as the module says, with `lines` as its input.

    Raises as subprocess.run does.
    """
    import shutil

    directory = directory.resolve()
    worktree = _worktree_of(directory) or directory
    command = [shutil.which("git", path=environment.get("PATH")) or "git", "--no-pager", "-C", str(directory)]
    for setting in (f"safe.directory={worktree}", "core.fsmonitor=false", f"core.hooksPath={os.devnull}"):
        command += ["-c", setting]
    kept = {name: value for name, value in environment.items() if name not in _OF_A_REPOSITORY}
    return subprocess.run(
        [*command, *words], capture_output=True, timeout=timeout_s, input=lines, env=kept | _ENVIRONMENT
    )


def _worktree_of(directory: Path) -> Path | None:
    """Return the folder whose repository git finds from this one; None outside."""
    directory = directory.resolve()
    return next((one for one in (directory, *directory.parents) if (one / ".git").exists()), None)


def _is_installed(environment: Mapping[str, str]) -> bool:
    """Return whether git is in the environment's PATH, without what shutil imports."""
    folders = environment.get("PATH", "").split(os.pathsep)
    return any(os.access(Path(folder) / "git", os.X_OK) for folder in folders)


def _may_be_in_repository(directory: Path) -> bool:
    """Return whether git may find a repository from this folder, a bare one too."""
    directory = directory.resolve()
    return _worktree_of(directory) is not None or any(
        (one / "HEAD").exists() and (one / "objects").exists() for one in (directory, *directory.parents)
    )


def _last_line(errors: bytes) -> str:
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
