"""The benchmarks' own arithmetic, and that the documentation shows the run that is kept. Nothing is timed here."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.__main__ import DOCS, LAST_RUN, SUITES, main
from benchmarks.measure import Figure, compare
from benchmarks.planner import alone, pages, stream
from benchmarks.table import table, written_into


def test_the_documentation_shows_the_last_run() -> None:
    run = json.loads(LAST_RUN.read_text())
    assert table(run) in DOCS.read_text()
    assert written_into(DOCS.read_text(), run) == DOCS.read_text()


def test_a_goal_is_met_below_it() -> None:
    figure = Figure(name="x", amount=2.0, baseline="y", baseline_amount=1.0, goal=2.5)
    missed = Figure(name="x", amount=3.0, baseline="y", baseline_amount=1.0, goal=2.5)
    assert (figure.as_json()["is_met"], missed.as_json()["is_met"]) == (True, False)
    assert "under 2.5, missed" in table({"environment": _ENVIRONMENT, "figures": [missed.as_json()]})


def test_work_and_baseline_are_run_in_turn() -> None:
    done: list[str] = []
    compare("x", lambda: done.append("work"), "y", lambda: done.append("a"), lambda: done.append("b"), runs=2)
    assert done == ["work", "a", "b"] * 3


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense"]) == 64
    said = capsys.readouterr().err
    assert all(name in said for name in SUITES)


@pytest.mark.parametrize("work", [alone, stream, pages])
def test_what_is_measured_still_works(work: Callable[[int], float]) -> None:
    assert work(200) > 0


def test_the_kept_run_is_whole() -> None:
    run = json.loads(Path(LAST_RUN).read_text())
    assert len(run["figures"]) >= 20
    assert run["environment"].keys() == _ENVIRONMENT.keys()


_ENVIRONMENT = {"python": "3", "system": "s", "cores": 2, "date": "2026-01-01"}
