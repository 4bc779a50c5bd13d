"""--environment lays a file over the spec, and sets a variable in it; offline, by the command line."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler import SpecError, UsageError, load_spec
from reconciler.cli.main import VERBS, run
from tests.support.environment import clear_environment

SPEC = """\
version: 1
name: shop-${RECONCILER_ENVIRONMENT:-production}
apps:
  shop:
    name: shop-${RECONCILER_ENVIRONMENT:-production}
    image: i:1
    tasks:
      work: {command: [x], count: 3}
"""
PLAIN = SPEC.replace("-${RECONCILER_ENVIRONMENT:-production}", "")
STAGING = "apps: {shop: {tasks: {work: {count: 1}}}}\n"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_TARGET", "http://127.0.0.1:1")  # nobody there, and nobody asked
    monkeypatch.chdir(tmp_path)
    (tmp_path / "machines.yaml").write_text(SPEC)
    (tmp_path / "machines.staging.yaml").write_text(STAGING)
    return tmp_path


class Command:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What the command says on both streams."""
        ended = run([*arguments])
        captured = self._capsys.readouterr()
        assert ended == code, (ended, captured)
        return captured.out + captured.err

    def found(self, *arguments: str) -> tuple[str, str | None, int]:
        """The stack, the environment and the number of machines of the spec that is read."""
        document: dict[str, Any] = json.loads(self("validate", "-o", "json", *arguments))
        return document["stack"], document["environment"], document["machines"]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def test_an_environment_has_its_overlay_and_its_name(command: Command) -> None:
    assert command.found() == ("shop-production", None, 3)
    assert command.found("--environment", "staging") == ("shop-staging", "staging", 1)
    assert command.found("--environment", "pr-123") == ("shop-pr-123", "pr-123", 3)
    assert "machines.yaml with machines.staging.yaml is valid" in command("validate", "--environment", "staging")


def test_the_flag_wins_over_the_variable_and_an_empty_variable_is_none(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_ENVIRONMENT", "pr-1")
    assert command.found() == ("shop-pr-1", "pr-1", 3)
    assert command.found("--environment", "staging") == ("shop-staging", "staging", 1)
    monkeypatch.setenv("RECONCILER_ENVIRONMENT", "")
    assert command.found() == ("shop-production", None, 3)


def test_without_an_environment_its_variable_is_not_set(
    command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_ENVIRONMENT", "")
    (directory / "machines.yaml").write_text(SPEC.replace(":-production", ""))
    said = command("validate", code=1)
    assert "machines.yaml:2:7: error: ${RECONCILER_ENVIRONMENT} is not set" in said
    assert "pass --environment ENV" in said


def test_an_unknown_environment_is_refused_and_the_nearest_offered(command: Command, directory: Path) -> None:
    (directory / "machines.yaml").write_text(f"{PLAIN}# name: shop-${{RECONCILER_ENVIRONMENT}}\n")
    said = command("validate", "--environment", "stagin", code=1)
    assert "machines.yaml has no environment 'stagin': there is no machines.stagin.yaml" in said
    assert "did you mean `staging`?" in said
    said = command("validate", "--environment", "pr-1", code=1)
    assert "write that file, or use the variable: `name: shop-${RECONCILER_ENVIRONMENT}`" in said


def test_a_misspelt_one_is_said_before_errors_of_what_only_its_overlay_would_say(
    command: Command, directory: Path
) -> None:
    (directory / "machines.yaml").write_text(PLAIN.replace("name: shop\n", "", 1))
    (directory / "machines.staging.yaml").write_text("name: shop-staging\n")
    assert command.found("--environment", "staging") == ("shop-staging", "staging", 3)
    assert "has no environment 'stagin'" in command("validate", "--environment", "stagin", code=1)


def test_a_probable_misspelling_is_a_warning_where_the_variable_is_used(command: Command) -> None:
    said = command("validate", "--environment", "stagin")
    assert (
        "machines.yaml:1:1: warning: there is no machines.stagin.yaml; did you mean the environment `staging`?" in said
    )
    assert "did you mean" not in command("validate", "--environment", "pr-7")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("", "is a variable not set?"),
        ("../staging", "did you mean `staging`?"),
        ("a/b", "did you mean `a-b`?"),
        ("Feature_X", "did you mean `feature-x`?"),
        ("-a", "did you mean `a`?"),
        ("a" * 64, f"did you mean `{'a' * 63}`?"),
        ("a\n", "did you mean `a`?"),
        ("é", "small letters, digits and dashes"),
    ],
)
def test_the_name_cannot_be_a_path_or_no_part_of_a_name(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    assert hint in command("validate", "--environment", name, code=64)
    if name:
        monkeypatch.setenv("RECONCILER_ENVIRONMENT", name)
        said = command("validate", code=1)
        assert "RECONCILER_ENVIRONMENT: " in said
        assert hint in said


def test_files_lie_over_each_other_and_the_environment_over_the_last(command: Command, directory: Path) -> None:
    (directory / "more.yaml").write_text("apps: {shop: {tasks: {work: {count: 5}, other: {command: [y]}}}}\n")
    assert command.found("-f", "machines.yaml", "-f", "more.yaml") == ("shop-production", None, 6)
    both = ("-f", "machines.yaml", "-f", "more.yaml", "--environment", "staging")
    assert command.found(*both) == ("shop-staging", "staging", 2)
    (directory / "more.yaml").write_text("apps:\n  shop:\n    tusks: {}\n")
    assert "more.yaml:3:5: error: unknown key `tusks`" in command("validate", *both, code=1)


def test_a_spec_on_stdin_has_the_overlay_of_the_directory(
    command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def typed(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    typed(SPEC)
    assert command.found("-f", "-", "--environment", "staging") == ("shop-staging", "staging", 1)
    typed(SPEC)
    monkeypatch.chdir(directory.parent)
    assert command.found("-f", "-", "-C", str(directory), "--environment", "staging")[2] == 1
    monkeypatch.chdir(directory)
    typed("apps: {shop: {tasks: {work: {count: 7}}}}")
    assert command.found("-f", "machines.yaml", "-f", "-")[2] == 7
    assert "only one of the files can be stdin" in command("validate", "-f", "-", "-f", "-", code=1)


def test_a_spec_of_another_name_has_overlays_of_that_name(command: Command, directory: Path) -> None:
    (directory / "deploy").mkdir()
    (directory / "deploy" / "shop.yml").write_text(SPEC)
    (directory / "deploy" / "shop.staging.yml").write_text(STAGING)
    assert command.found("-f", "deploy/shop.yml", "--environment", "staging")[2] == 1
    (directory / "deploy" / "shop.staging.yaml").write_text(STAGING)
    said = command("validate", "-f", "deploy/shop.yml", "--environment", "staging", code=1)
    assert "there are both deploy/shop.staging.yaml and deploy/shop.staging.yml" in said


def test_an_overlay_by_itself_is_no_spec_and_how_it_is_checked_is_said(command: Command, directory: Path) -> None:
    said = command("validate", "machines.staging.yaml", code=1)
    assert "the spec needs `version`" in said
    assert "machines.staging.yaml lies over machines.yaml: check both with --environment staging" in said
    (directory / "other.staging.yaml").write_text(STAGING)
    assert "lies over" not in command("validate", "other.staging.yaml", code=1)


def test_diff_takes_the_overlay_of_each_commit(command: Command, directory: Path) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *who, *words], cwd=directory, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    (directory / "machines.staging.yaml").write_text(STAGING.replace("1", "2"))
    old = "git:HEAD:machines.yaml"
    said = command("diff", old, "machines.yaml", "--environment", "staging")
    assert "create shop-staging: work-iad-1\n" in said
    assert "1 to create" in said
    assert "No changes" in command("diff", old, "machines.yaml", "--environment", "pr-1")
    (directory / "machines.yaml").write_text(PLAIN)
    (directory / "machines.fresh.yaml").write_text("name: shop-fresh\n")
    git("rm", "-q", "--cached", "machines.staging.yaml")
    git("add", "machines.yaml")
    git("commit", "-qm", "second")
    said = command("diff", old, "machines.yaml", "--environment", "fresh")
    assert "the environment is new" in said
    assert "work-iad-2" in said
    assert "has no environment" in command("diff", "machines.yaml", old, "--environment", "staging", code=1)


READ_NO_SPEC = {"init", "show", "diff", "engine", "schema", "help", "completion", "version", "import"}


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in READ_NO_SPEC])
def test_each_verb_that_reads_a_spec_reads_the_overlay(command: Command, directory: Path, verb: str) -> None:
    (directory / "machines.staging.yaml").write_text("apps:\n  shop: {imagine: 1}\n")
    named = {"invoke": ["work"], "wait": ["work/1"], "cancel": ["work/1"], "logs": ["work"]}
    said = command(
        verb, *named.get(verb, []), "--environment", "staging", code=125 if verb in {"invoke", "wait"} else 1
    )
    assert "machines.staging.yaml:2:10: " in said
    assert "unknown key `imagine`" in said


def test_the_library_takes_overlays_and_an_environment_too(directory: Path) -> None:
    (directory / "more.yaml").write_text("apps: {shop: {tasks: {work: {count: 5}}}}\n")
    spec = load_spec(directory / "machines.yaml", overlays=[directory / "more.yaml"], environment={})
    assert (spec.stack, spec.environment, len(spec.pools[0].slots)) == ("shop-production", None, 5)
    spec = load_spec("machines.yaml", environment_name="staging", environment={"RECONCILER_ENVIRONMENT": "pr-1"})
    assert (spec.stack, spec.environment, len(spec.pools[0].slots)) == ("shop-staging", "staging", 1)
    assert spec.overlays == ("machines.staging.yaml",)
    assert load_spec("machines.yaml", environment={"RECONCILER_ENVIRONMENT": "pr-1"}).environment == "pr-1"
    with pytest.raises(UsageError, match="cannot be an environment's name"):
        load_spec("machines.yaml", environment_name="a/b", environment={})
    with pytest.raises(TypeError, match="overlays must be a list of files, not str"):
        load_spec("machines.yaml", overlays="more.yaml", environment={})
    with pytest.raises(TypeError, match="environment_name must be a string"):
        load_spec("machines.yaml", environment_name=7, environment={})  # type: ignore[arg-type]
    (directory / "machines.yaml").write_text(SPEC.replace(":-production", ""))
    with pytest.raises(SpecError):
        load_spec("machines.yaml", environment={})
