"""`reconciler version`: the version, and with -v what a report of a fault should name."""

from pathlib import Path

import pytest

import reconciler
from reconciler.cli.main import run
from tests.support.environment import clear_environment


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    return tmp_path


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["version"], ["--version"]):
        assert run(words) == 0
        assert capsys.readouterr().out == f"reconciler {reconciler.__version__}\n"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], "spec     none here"),
        (["-f", "a.yaml"], "spec     a.yaml"),
        (["--target", "local"], "target   local"),
    ],
)
def test_with_v_it_says_where_things_are(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], shown: str
) -> None:
    assert run(["version", "-v", *words]) == 0
    out = capsys.readouterr().out
    assert f"  {shown}\n" in out
    assert f"  engine   {place / 'home'}\n" in out
    assert "  python   3." in out


def test_a_spec_that_is_there_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "machines.yml").write_text("no spec at all: [")
    assert run(["version", "-v"]) == 0
    assert f"  spec     {place / 'machines.yml'}\n" in capsys.readouterr().out
