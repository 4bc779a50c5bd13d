"""The benchmarks' own arithmetic, and that the documentation shows the run that is kept. Nothing is timed here."""

import json
from collections.abc import Callable

import pytest

from benchmarks.__main__ import DOCS, LAST_RUN, main
from benchmarks.figure import Figure, Goal, at_least, at_most, exponent_of, under
from benchmarks.make_test import cases_in
from benchmarks.measure import compare, environment, medians
from benchmarks.planner import alone, pages, stream
from benchmarks.suites import SUITES
from benchmarks.table import table, written_into


def test_the_documentation_shows_the_last_run() -> None:
    run = json.loads(LAST_RUN.read_text())
    assert table(run) in DOCS.read_text()
    assert written_into(DOCS.read_text(), run) == DOCS.read_text()


def figure(amount: float, goal: Goal | None = None, *, exponent: float | None = None, unit: str = "s") -> Figure:
    return Figure(
        name="x", amount=amount, baseline="y", baseline_amount=1.0, goal=goal, exponent=exponent, unit=unit, is_cpu=True
    )


def line_of(one: Figure) -> str:
    return table({"environment": _ENVIRONMENT, "figures": [one.as_json()]}).splitlines()[-1]


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (under(2.0), {1.9: True, 2.0: False}),
        (at_most(2.0), {2.0: True, 2.1: False}),
        (at_least(2.0), {2.0: True, 1.9: False}),
    ],
    ids=["under", "at most", "at least"],
)
def test_when_a_goal_is_met(goal: Goal, met: dict[float, bool]) -> None:
    for amount, is_met in met.items():
        assert figure(amount, goal).as_json()["is_met"] is is_met
        assert line_of(figure(amount, goal)).endswith(f"{goal.bound} 2, {'met' if is_met else 'missed'} |")


def test_a_line_says_what_was_measured() -> None:
    assert line_of(figure(0.5, at_most(0.62, aim=0.4))) == (
        "| x | 500.0 ms of CPU | y | 1.00 s of CPU | 0.50 | at most 0.62 (aim: 0.4), met |"
    )
    assert line_of(figure(4000, unit="/s")) == "| x | 4,000 a second | y | 1 a second | 4000.00 |  |"
    assert line_of(figure(30, unit="cases")) == "| x | 30 cases | y | 1 cases | 30.00 |  |"
    assert line_of(figure(8.0, under(1.05), exponent=1.1)).endswith("| exponent 1.10 | under 1.05, missed |")


def test_the_baseline_is_named_where_there_was_one() -> None:
    run = {"environment": _ENVIRONMENT | {"baseline": "0123456789abcdef"}, "figures": []}
    assert "2026-01-01; the baseline is commit 0123456\n" in table(run)


def test_the_exponent_of_growth() -> None:
    assert exponent_of({1_000: 3.0, 3_000: 9.0, 10_000: 30.0}) == pytest.approx(1.0)
    assert exponent_of({1_000: 1.0, 3_000: 9.0, 10_000: 100.0}) == pytest.approx(2.0)
    assert exponent_of({1_000: 5.0, 3_000: 5.0, 10_000: 5.0}) == pytest.approx(0.0)


def test_work_and_baseline_are_run_in_turn() -> None:
    done: list[str] = []
    compare("x", lambda: done.append("work"), "y", lambda: done.append("a"), lambda: done.append("b"), runs=2)
    assert done == ["work", "a", "b"] * 3


def test_what_is_done_before_is_not_measured_and_the_first_run_does_not_count() -> None:
    now = 0.0

    def takes(*amounts: float) -> Callable[[], None]:
        left = iter(amounts)

        def work() -> None:
            nonlocal now
            now += next(left)

        return work

    works = [takes(100, 1, 3, 2), takes(100, 10, 30, 20)]
    assert medians(works, 3, clock=lambda: now, before=takes(*[1000.0] * 8)) == [2, 20]


def test_what_is_measured_has_nothing_of_the_environment_that_makes_a_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "RECONCILER_TARGET", "FLY_API_TOKEN", "MAKEFLAGS", "CI"):
        monkeypatch.setenv(name, "1")
    found = environment(RECONCILER_TARGET="local")
    assert {
        name: value for name, value in found.items() if name.startswith(("PYTHON", "RECONCILER", "FLY", "MAKE", "CI"))
    } == {
        "PYTHONHASHSEED": "0",
        "RECONCILER_TARGET": "local",
    }
    assert "PATH" in found


def test_cases_are_counted_as_pytest_names_them() -> None:
    assert cases_in("3140 passed, 12 skipped, 40 deselected, 1 xfailed, 3 warnings in 612.10s (0:10:12)") == 3153


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense"]) == 64
    said = capsys.readouterr().err
    assert all(name in said for name in SUITES)


@pytest.mark.parametrize("work", [alone, stream, pages])
def test_what_is_measured_still_works(work: Callable[[int], float]) -> None:
    assert work(200) > 0


def test_the_kept_run_is_whole() -> None:
    run = json.loads(LAST_RUN.read_text())
    assert len(run["figures"]) >= 20
    assert run["environment"].keys() == _ENVIRONMENT.keys()
    compared = [one["name"] for one in run["figures"] if one["is_cpu"]]
    assert len(compared) == len({*compared})  # by which they are found again


_ENVIRONMENT = {"python": "3", "system": "s", "cores": 2, "date": "2026-01-01", "baseline": None}
