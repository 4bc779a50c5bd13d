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
