"""What init writes is planned and applied, and the plan after it is empty."""

import shutil
from pathlib import Path

import pytest

from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine

CASES = Path(__file__).parents[1] / "cases" / "fly-toml"


@pytest.mark.parametrize("name", ["checks", "files", "groups", "legacy", "old-spellings", "options", "quoting"])
def test_the_plan_after_an_apply_is_empty(tmp_path: Path, name: str) -> None:
    for path in (CASES / f"{name}.toml", *CASES.glob("local-*")):
        shutil.copy(path, tmp_path)
    with VirtualEngine() as engine:
        engine.script("run 1000000")
        line = CommandLine(engine, engine.transport, tmp_path)
        assert line.run("init", "--from", f"{name}.toml").code == 0
        variables = {"API_TOKEN": "x"}
        ended = line.run("apply", "--yes", "--no-revision", environment=variables)
        assert ended.code == 0, ended.err
        ended = line.run("plan", "--detailed-exitcode", "--no-revision", environment=variables)
        assert ended.code == 0, ended.out


@pytest.mark.parametrize("dockerfile", [None, 'FROM a\nCMD ["serve"]\nEXPOSE 80\n'])
def test_without_a_fly_toml_the_spec_is_planned_at_once(tmp_path: Path, dockerfile: str | None) -> None:
    if dockerfile:
        (tmp_path / "Dockerfile").write_text(dockerfile)
    with VirtualEngine() as engine:
        line = CommandLine(engine, engine.transport, tmp_path)
        assert line.run("init", "--name", "first").code == 0
        ended = line.run("plan", "--no-revision")
        assert (ended.code, ended.err) == (0, "")
        assert f"Plan: {2 if dockerfile else 1} to create" in ended.out


def test_a_laravel_app_with_a_fly_toml_runs_its_release_command(tmp_path: Path) -> None:
    shutil.copy(CASES / "laravel.toml", tmp_path / "fly.toml")
    (tmp_path / "artisan").touch()
    with VirtualEngine() as engine:
        engine.script("run 1000000", machine="app-*")
        engine.script("say migrated exit 3", machine="release-*")
        line = CommandLine(engine, engine.transport, tmp_path)
        for words in (["init"], ["validate"], ["apply", "--yes", "--no-revision"]):
            ended = line.run(*words)
            assert ended.code == 0, ended.err
        ended = line.run("invoke", "release")
        assert (ended.code, ended.out) == (3, "migrated\n")
        assert line.run("plan", "--detailed-exitcode", "--no-revision").code == 0


def test_a_directory_with_a_dockerfile_only_runs_its_command(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian\nCMD say done exit 4\n")
    with VirtualEngine() as engine:
        line = CommandLine(engine, engine.transport, tmp_path)
        for words in (["init", "--name", "once"], ["apply", "--yes", "--no-revision"]):
            ended = line.run(*words)
            assert ended.code == 0, ended.err
        engine.script("say done exit 4")
        ended = line.run("invoke", "job")
        assert (ended.code, ended.out) == (4, "done\n")
