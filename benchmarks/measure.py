"""What a benchmark gives: a time, and the time of its baseline in the same minutes. The machine is not quiet.

Both are run in turn, so that whatever else the machine does hits both; the medians are compared.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

RUNS = 7

Work = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table. Times in seconds; `goal` is what the ratio is to stay below, where one is set."""

    name: str
    seconds: float
    baseline: str
    baseline_s: float
    goal: float | None = None

    @property
    def ratio(self) -> float:
        return self.seconds / self.baseline_s


def median_s(work: Work, runs: int = RUNS) -> float:
    """The median time of the work, in seconds, after one run to warm up."""
    return _medians([work], runs)[0]


def compare(
    name: str, work: Work, baseline: str, *baseline_works: Work, goal: float | None = None, runs: int = RUNS
) -> Figure:
    """The work against the sum of the works of its baseline, run in turn."""
    mine, *others = _medians([work, *baseline_works], runs)
    return Figure(name=name, seconds=mine, baseline=baseline, baseline_s=sum(others), goal=goal)


def _medians(works: list[Work], runs: int) -> list[float]:
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for work, taken in zip(works, times, strict=True):
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
    return [statistics.median(taken) for taken in times]
