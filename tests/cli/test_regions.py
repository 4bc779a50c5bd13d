"""A misspelt region: a warning offline, an error once the platform has been asked."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import stop_engine
from tests.support.environment import clear_environment

SPEC = """\
version: 1
name: s
apps:
  app:
    image: i
    tasks:
      t:
        command: [echo, '1']
        regions: [iad, arm]
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "machines.yaml"
    file.write_text(SPEC)
    yield file
    stop_engine(tmp_path / "home")


def test_validate_warns_with_the_place(spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["validate"]) == 0
    said = capfd.readouterr()
    assert "machines.yaml:9:24: warning: region 'arm' is not in the platform's list" in said.err
    assert "did you mean `arn`?" in said.err
    assert run(["validate", "-o", "json"]) == 0
    [warning] = json.loads(capfd.readouterr().out)["warnings"]
    assert (warning["line"], warning["column"], warning["hint"]) == (9, 24, "did you mean `arn`?")


@pytest.mark.parametrize("words", [["plan"], ["apply", "--yes"]])
def test_plan_and_apply_refuse_it_before_any_write(
    spec: Path, capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run([*words, "--trace-http"]) == 1
    said = capfd.readouterr()
    assert "machines.yaml:9:24: error: the platform has no region 'arm'" in said.err
    assert "POST" not in said.err
    spec.write_text(SPEC.replace("arm", "arn"))
    assert run([*words, "--trace-http"]) == 0
    assert "platform/regions" not in capfd.readouterr().err
