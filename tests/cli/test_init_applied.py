"""What init writes from a fly.toml is applied, and the plan after it is empty."""

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
