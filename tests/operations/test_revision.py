"""The revision of a spec: the commit's, the pipeline's, or none and said so; and nothing of a repository is run."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import UsageError
from reconciler.model.revision import Revision, committed, numbered
from reconciler.operations.git import file_of_commit
from reconciler.operations.revision import FoundRevision, find_revision
from reconciler.spec import load_spec

pytestmark = pytest.mark.slow

AT = 1_700_000_000
SPEC = "version: 1\nname: s\napps: {a: {image: i, tasks: {t: {command: [x]}}}}\n"
CANARY = "canary"
HOOKS = ("reference-transaction", "post-checkout", "post-index-change", "fsmonitor-watchman", "query-watchman")
GITLAB = {"CI_COMMIT_TIMESTAMP": "2023-11-14T23:13:20+01:00", "CI_COMMIT_SHA": "c" * 40, "CI_PIPELINE_IID": "7"}


def environment_of(**more: str) -> dict[str, str]:
    """An environment in which git works, and is nobody's."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_AUTHOR_DATE": "@1600000000 +0000",
        "GIT_COMMITTER_NAME": "c",
        "GIT_COMMITTER_EMAIL": "c@example.com",
        "GIT_COMMITTER_DATE": f"@{AT} +0200",
    } | more


def git(at: Path, *words: str, check: bool = True) -> str:
    command = ["git", "-C", str(at), "-c", "protocol.file.allow=always", *words]
    return subprocess.run(command, check=check, capture_output=True, text=True, env=environment_of()).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one commit, with a spec in a folder of it."""
    root = tmp_path / "repository"
    (root / "deploy").mkdir(parents=True)
    (root / "deploy/machines.yaml").write_text(SPEC)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def found(folder: Path, environment: Mapping[str, str] | None = None) -> tuple[Revision | None, str]:
    """The revision of a spec in the folder, and the warning."""
    spec = load_spec(SPEC, file=str(folder / "machines.yaml"), environment={})
    revision = find_revision(spec, None, environment_of() if environment is None else environment)
    return revision.revision, revision.warning or ""


def test_it_is_the_committer_time_also_in_a_shallow_clone(repository: Path, tmp_path: Path) -> None:
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    commit = committed(AT, git(repository, "rev-parse", "HEAD"))
    assert found(repository / "deploy") == (commit, "")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "shallow")
    assert git(tmp_path / "shallow", "rev-list", "--count", "HEAD") == "1"
    assert found(tmp_path / "shallow/deploy", environment_of(GITHUB_RUN_NUMBER="5")) == (commit, "")


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}, id="a checkout of another user"),
        pytest.param({"GIT_DIR": ".git", "GIT_WORK_TREE": "/", "GIT_INDEX_FILE": "x"}, id="in a hook"),
        pytest.param({"GIT_PAGER": "false", "PAGER": "false", "GIT_TRACE": "1"}, id="with a pager"),
    ],
)
def test_it_is_found_wherever_the_command_runs(repository: Path, variables: dict[str, str]) -> None:
    revision, warning = found(repository / "deploy", environment_of(**variables))
    assert (revision and revision.order, warning) == (AT, "")


def test_a_working_tree_beside_the_repository_has_its_own_commit(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "second")
    commit = committed(AT, git(tmp_path / "other", "rev-parse", "HEAD"))
    assert found(tmp_path / "other/deploy", environment_of(GIT_TEST_ASSUME_DIFFERENT_OWNER="1")) == (commit, "")
    assert found(repository / "deploy") != (commit, "")


def test_without_a_commit_it_says_why_there_is_none(repository: Path, tmp_path: Path) -> None:
    without = "no revision, so nothing keeps an older apply from undoing this one: {}; pass --revision N, or"
    revision, warning = found(tmp_path)
    assert revision is None
    assert warning.startswith(without.format("the spec is in no git repository"))
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    assert without.format("the repository has no commit to read") in found(tmp_path / "empty")[1]
    (repository / ".git/HEAD").write_text("nonsense")
    assert "git says 'fatal: " in found(repository / "deploy")[1]
    spec = load_spec(SPEC, file="<stdin>", environment={})
    assert "the spec is no file of a git repository" in (find_revision(spec, None, environment_of()).warning or "")


def test_git_is_asked_only_where_a_repository_may_be(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare")
    (tmp_path / "bare/deploy").mkdir()
    asked: list[object] = []
    run = subprocess.run

    def counted(*words: Any, **how: Any) -> Any:
        asked.append(words)
        return run(*words, **how)

    monkeypatch.setattr(subprocess, "run", counted)
    assert "the spec is in no git repository" in found(tmp_path)[1]
    assert not asked
    assert found(tmp_path / "bare/deploy") == found(repository / "deploy")
    assert len(asked) == 2


def test_on_the_local_engine_none_is_needed_and_one_that_is_known_counts(tmp_path: Path) -> None:
    spec = load_spec(SPEC, file=str(tmp_path / "machines.yaml"), environment={})
    assert find_revision(spec, None, environment_of(), is_local=True) == FoundRevision()
    known = environment_of(GITHUB_RUN_NUMBER="12")
    assert find_revision(spec, None, known, is_local=True) == find_revision(spec, None, known)
    assert find_revision(spec, None, known).warning


def test_a_git_that_hangs_is_not_waited_for(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.operations.git._HEAD_TIMEOUT_S", 0.05)
    (tmp_path / "git").write_text(f"#!/bin/sh\nexec {shutil.which('sleep')} 60\n")
    (tmp_path / "git").chmod(0o755)
    assert "git did not answer within" in found(repository / "deploy", {"PATH": str(tmp_path)})[1]


@pytest.mark.parametrize(
    ("variables", "revision", "words"),
    [
        ({}, None, "no revision, so nothing keeps"),
        ({"GITHUB_RUN_NUMBER": "42"}, numbered(42), "this is revision 42, from GITHUB_RUN_NUMBER; it does not compare"),
        ({"BUILDKITE_BUILD_NUMBER": "43"}, numbered(43), "from BUILDKITE_BUILD_NUMBER"),
        ({"CIRCLE_BUILD_NUM": "44"}, numbered(44), "from CIRCLE_BUILD_NUM"),
        ({"CI_PIPELINE_IID": "45"}, numbered(45), "from CI_PIPELINE_IID"),
        (GITLAB, committed(AT, "c" * 40), f"commit {'c' * 12} of 2023-11-14 22:13:20 UTC, from CI_COMMIT_TIMESTAMP"),
        (GITLAB | {"CI_COMMIT_TIMESTAMP": "yesterday"}, numbered(7), "from CI_PIPELINE_IID"),
        (GITLAB | {"CI_COMMIT_SHA": ""}, numbered(7), "from CI_PIPELINE_IID"),
        ({"GITHUB_RUN_NUMBER": "x", "CIRCLE_BUILD_NUM": "9" * 30}, None, "no revision"),
    ],
)
def test_without_git_it_is_the_pipelines(
    repository: Path, variables: dict[str, str], revision: Revision | None, words: str
) -> None:
    told = found(repository / "deploy", {"PATH": "/nonexistent"} | variables)
    assert told[0] == revision
    assert "git is not installed" in told[1]
    assert words in told[1]


def test_what_is_given_is_not_looked_for(tmp_path: Path) -> None:
    spec = load_spec(SPEC, file=str(tmp_path / "machines.yaml"), environment={})
    given = find_revision(spec, 3, {"GITHUB_RUN_NUMBER": "42"})
    assert (given.revision, given.warning) == (numbered(3), None)
    none = find_revision(spec, None, {"GITHUB_RUN_NUMBER": "42"}, is_declined=True)
    assert (none.revision, none.warning) == (None, None)
    assert none.told_by(spec) is spec


def make_hostile(repository: Path, canary: Path) -> None:
    """Let the repository's own configuration run a program wherever git lets it."""
    program = repository / "program"
    program.write_text(f"#!/bin/sh\necho $0 >> {canary}\n")
    program.chmod(0o755)
    hooks = repository / "hooks"
    hooks.mkdir()
    for hook in HOOKS:
        shutil.copy(program, hooks / hook)
    (repository / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (repository / "included").write_text(f"[core]\n\tfsmonitor = {program}\n\thooksPath = {hooks}\n")
    settings = {
        "include.path": str(repository / "included"),
        "core.fsmonitor": str(program),
        "core.hooksPath": str(hooks),
        "core.pager": str(program),
        "core.editor": str(program),
        "core.sshCommand": str(program),
        "core.gitProxy": str(program),
        "core.askPass": str(program),
        "credential.helper": f"!{program}",
        "gpg.program": str(program),
        "log.showSignature": "true",
        "diff.external": str(program),
        "diff.evil.textconv": str(program),
        "diff.evil.command": str(program),
        "filter.evil.smudge": str(program),
        "filter.evil.clean": str(program),
        "protocol.allow": "always",
        "protocol.ext.allow": "always",
        "remote.origin.url": f"ext::{program} %S",
        "remote.origin.promisor": "true",
        "extensions.partialClone": "origin",
        "core.repositoryFormatVersion": "1",
        **{f"alias.{verb}": f"!{program}" for verb in ("cat-file", "rev-parse", "ls-tree")},
        **{f"pager.{verb}": str(program) for verb in ("cat-file", "rev-parse", "ls-tree")},
    }
    for name, value in settings.items():
        git(repository, "config", name, value)


def test_nothing_that_the_repository_names_is_run(repository: Path, tmp_path: Path) -> None:
    canary = tmp_path / CANARY
    make_hostile(repository, canary)
    environment = environment_of(GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert found(repository / "deploy", environment)[0] is not None
    name = "git:HEAD:deploy/machines.yaml"
    assert file_of_commit(name, repository / "deploy", environment) == SPEC.encode()
    assert file_of_commit("git:main:none", repository, environment) is None
    assert not canary.exists()
    git(repository, "status", check=False)
    git(repository, "log", "-p", check=False)
    assert canary.exists(), "the configuration would have run it"


def test_without_git_a_file_of_a_commit_cannot_be_read(repository: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot ask git for git:HEAD:a\.yaml: git is not installed"):
        file_of_commit("git:HEAD:a.yaml", repository, {"PATH": "/nonexistent"})


def test_a_commit_that_is_not_there_is_not_fetched(repository: Path, tmp_path: Path) -> None:
    canary = tmp_path / CANARY
    make_hostile(repository, canary)
    commit = git(repository, "rev-parse", "HEAD")
    (repository / ".git/objects" / commit[:2] / commit[2:]).unlink()
    assert found(repository / "deploy")[0] is None
    assert not canary.exists()
    git(repository, "cat-file", "-e", commit, check=False)
    assert canary.exists(), "git alone would have fetched it"
