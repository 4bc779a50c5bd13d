"""`--check`: rows of CPU against the run that is kept. The figures are made up."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.bench import Bench
from benchmarks.figure import Figure
from benchmarks.suites import Suite
from benchmarks.trees import current_tree

KEPT = {"plan": 0.5, "validate": 6.0, "of another baseline": 1.0}


def figure(name: str, value: float, *, is_cpu: bool = True) -> Figure:
    return Figure(name=name, amount=value, baseline="y", baseline_amount=1.0, is_cpu=is_cpu)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A kept run; beside CPU rows it has one of another kind."""
    path = tmp_path / "last-run.json"
    figures = [figure(name, value).as_json() for name, value in KEPT.items()]
    run = {"environment": {"date": "2026-01-01"}, "figures": [*figures, figure("a list", 1.0, is_cpu=False).as_json()]}
    path.write_text(json.dumps(run))
    monkeypatch.setattr(command, "LAST_RUN", path)
    monkeypatch.setattr(command, "DOCS", tmp_path / "none.md")
    monkeypatch.setattr(command, "prepared", lambda runs: Bench(current=current_tree(), baseline=None, most_runs=runs))
    return path


def measuring(monkeypatch: pytest.MonkeyPatch, **values: float) -> None:
    def figures(_bench: Bench) -> Iterator[Figure]:
        yield from (figure(name, value) for name, value in values.items())

    def of_the_clock(_bench: Bench) -> Iterator[Figure]:
        raise AssertionError("only CPU is compared")

    suites = {"cpu": Suite(figures=figures, is_cpu=True), "clock": Suite(figures=of_the_clock)}
    monkeypatch.setattr(command, "SUITES", suites)


def test_what_is_as_fast_as_it_was(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = kept.read_text()
    measuring(monkeypatch, plan=0.62, validate=3.0, new=9.0)
    assert command.main(["--check"]) == 0
    said = capsys.readouterr().out
    assert "0 of 2 rows got slower by more than 25% since 2026-01-01" in said
    assert "only one of the two runs has it: new; of another baseline" in said
    assert kept.read_text() == before


def test_what_got_slower_is_named(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(monkeypatch, plan=0.63, validate=6.0)
    assert command.main(["--check"]) == 1
    said = capsys.readouterr().out
    assert "1 of 2 rows got slower" in said
    assert "plan: 0.63, and it was 0.50, against y" in said
    assert "validate:" not in said


def test_nothing_to_compare_is_no_success(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measuring(monkeypatch, new=1.0)
    assert command.main(["--check"]) == 1
