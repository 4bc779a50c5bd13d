"""The baseline is built from git once, and where it cannot be, a message says what to do."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.trees import BASELINE, BaselineError, Tree, baseline_tree

# As of the real one, its Makefile installs; this one says how often.
MAKEFILE = ".venv/.runnable:\n\tmkdir -p .venv/bin\n\techo $(PYTHON) >> .venv/installed\n\ttouch $@\n"


def git(repository: Path, *words: str) -> str:
    named = ["-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "commit.gpgsign=false"]
    line = ["git", "-C", str(repository), *named, *words]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two commits."""
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--quiet")
    for text in ("first", "second"):
        (path / "Makefile").write_text(MAKEFILE)
        (path / "file").write_text(text)
        git(path, "add", ".")
        git(path, "commit", "--quiet", "-m", text)
    return path


def build(repository: Path, commit: str) -> Tree:
    return baseline_tree(commit, repository=repository, cache=repository / "cache")


def test_the_baseline_is_the_commit_and_is_installed_once(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD~1")
    tree = build(repository, first)
    assert (tree.root / "file").read_text() == "first"
    assert (tree.commit, tree.programs) == (first, tree.root / ".venv" / "bin")
    assert build(repository, first) == tree
    assert len((tree.root / ".venv" / "installed").read_text().splitlines()) == 1
    assert build(repository, git(repository, "rev-parse", "HEAD")).root != tree.root


def test_a_baseline_that_was_cut_off_is_built_anew(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    root = build(repository, commit).root
    (root / ".venv" / ".built").unlink()
    (root / "left over").touch()
    assert (build(repository, commit).root / ".venv" / ".built").exists()
    assert not (root / "left over").exists()


def test_a_commit_that_is_not_there(repository: Path, tmp_path: Path) -> None:
    for place in (repository, tmp_path):
        with pytest.raises(BaselineError, match=f"{BASELINE}, is not in .*: use a clone .* `git fetch --unshallow`"):
            build(place, BASELINE)


def test_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BaselineError, match="there is no git"):
        build(repository, BASELINE)


def test_an_install_that_fails_says_why_and_is_tried_again(repository: Path) -> None:
    (repository / "Makefile").write_text(".venv/.runnable:\n\techo no network >&2; false\n")
    git(repository, "commit", "--quiet", "-a", "-m", "broken")
    for _ in range(2):
        with pytest.raises(BaselineError, match=r"cannot be installed: .* ended with 2: no network"):
            build(repository, git(repository, "rev-parse", "HEAD"))


def test_a_tree_whose_environment_imports_another_is_refused(tmp_path: Path) -> None:
    from benchmarks.trees import current_tree

    tree = Tree(root=tmp_path, programs=current_tree().programs)
    with pytest.raises(RuntimeError, match="which is not of"):
        tree.prepare()
