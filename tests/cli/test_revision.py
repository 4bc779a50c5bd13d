"""The revision on the command line: told where nothing fences off an older apply, silent where that is meant."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import targets
from reconciler.targets import resolve_target
from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine
from tests.support.world import app_text

NONE = "no revision, so nothing keeps an older apply from undoing this one: the spec is in no git repository"


@pytest.fixture
def engine() -> Iterator[VirtualEngine]:
    with VirtualEngine() as engine:
        yield engine


@pytest.fixture
def line(engine: VirtualEngine, tmp_path: Path) -> CommandLine:
    (tmp_path / "machines.yaml").write_text(app_text("    tasks:\n      work: {command: [exit, '0']}\n"))
    return CommandLine(engine, engine.transport, tmp_path)


def test_without_one_plan_and_apply_say_so_and_what_to_do(line: CommandLine) -> None:
    told = f"{NONE}; pass --revision N, or --no-revision"
    assert f"Warning: {told}" in " ".join(line.run("plan").out.split())
    assert json.loads(line.run("plan", "-o", "json").out)["warnings"] == [told]
    assert f"Warning: {told}\n" in line.run("apply", "--yes", "-o", "json").err
    for words in (["--no-revision"], ["--revision", "4"]):
        ended = line.run("plan", *words)
        assert "revision" not in ended.out + ended.err


def test_on_the_local_engine_nobody_is_told(
    line: CommandLine, engine: VirtualEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "resolve_target", lambda environment, _name: resolve_target(environment, engine.url))
    for words in (["plan"], ["apply", "--yes"]):
        ended = line.run(*words, "--target", "local")
        assert ended.code == 0
        assert "revision" not in ended.out + ended.err


def test_a_pipelines_number_fences_off_its_older_runs(line: CommandLine) -> None:
    new, old = {"GITHUB_RUN_NUMBER": "12"}, {"GITHUB_RUN_NUMBER": "11"}
    assert line.run("apply", "--yes", environment=new).code == 0
    ended = line.run("apply", "--yes", environment=old)
    assert ended.code == 1
    assert "revision 12 was applied already, and this is revision 11, an older one" in " ".join(ended.out.split())
    assert line.run("apply", "--yes", "--no-revision", environment=old).code == 0


def test_a_revision_and_none_contradict_each_other(line: CommandLine) -> None:
    for verb in ("plan", "apply"):
        ended = line.run(verb, "--revision", "3", "--no-revision")
        assert ended.code == 64
        assert "--revision and --no-revision contradict each other" in ended.err
