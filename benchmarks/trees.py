"""The two trees that are compared: this one, and the baseline commit beside it, each in an environment of its own.

The baseline is taken from git into .venv/baseline, installed by its own Makefile, and kept for the next run.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Work, environment, process, said

BASELINE = "a07fde8d95c772d58043e54c239ec5ec0570c82c"
ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".venv" / "baseline"


class BaselineError(Exception):
    """Why there is no baseline here, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Where a tree's source is, and where the programs of its environment are. `commit` is the baseline's."""

    root: Path
    programs: Path
    commit: str | None = None

    @property
    def python(self) -> Path:
        return self.programs / "python"

    @property
    def command(self) -> Path:
        return self.programs / "reconciler"

    def prepare(self) -> None:
        """Write all bytecode, and see that the tree's environment imports the tree."""
        shown = "import reconciler, sysconfig; print(reconciler.__file__, sysconfig.get_path('purelib'), sep='\\n')"
        package, packages = said(self.python, "-c", shown, env=environment(), cwd="/").splitlines()
        if not Path(package).is_relative_to(self.root):
            raise RuntimeError(f"{self.python} imports {package}, which is not of {self.root}: `make install` there")
        process(self.python, "-m", "compileall", "-q", "-j", "0", Path(package).parent, packages, env=environment())()

    def runs(self, *arguments: str, cwd: Path, env: dict[str, str]) -> Work:
        """The tree's command, as a whole process."""
        return process(self.command, *arguments, cwd=cwd, env=env)


def current_tree() -> Tree:
    return Tree(root=ROOT, programs=Path(sys.executable).parent)


def baseline_tree(commit: str = BASELINE, *, repository: Path = ROOT, cache: Path = CACHE) -> Tree:
    """The baseline, built if it is not there yet. Raises BaselineError."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    root = cache / f"{commit[:12]}-{version}"
    is_built = root / ".venv" / ".built"
    if not is_built.exists():
        source = _source(commit, repository)
        sys.stderr.write(f"building the baseline, commit {commit[:7]}, in {root}\n")
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", root], input=source, check=True)
        _install(root)
        is_built.touch()
    return Tree(root=root, programs=root / ".venv" / "bin", commit=commit)


def _source(commit: str, repository: Path) -> bytes:
    """The commit's files as a tar archive."""
    git = ["git", "-C", str(repository)]
    try:
        found = subprocess.run([*git, "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True)
    except FileNotFoundError as error:
        raise BaselineError("the baseline is a commit, and there is no git to take it from: install git") from error
    if found.returncode != 0:
        why = f"the baseline, commit {commit}, is not in {repository}"
        raise BaselineError(f"{why}: use a clone of the repository; if it is shallow, `git fetch --unshallow` first")
    return subprocess.run([*git, "archive", commit], check=True, capture_output=True).stdout


def _install(root: Path) -> None:
    """Install what the tree's command needs, as its own Makefile does."""
    try:
        make(root, ".venv/.runnable")
    except RuntimeError as error:
        raise BaselineError(f"the baseline in {root} cannot be installed: {str(error).strip()[-500:]}") from error


def make(root: Path, target: str) -> str:
    """Make a target of a tree with the Python that runs this; return what was said. Raises RuntimeError."""
    return said("make", "--silent", f"PYTHON={Path(sys.executable).resolve()}", target, cwd=root, env=environment())
