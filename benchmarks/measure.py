"""What a benchmark gives: an amount, and that of its baseline in the same minutes. The machine is not quiet.

Both are run in turn, so that whatever else the machine does hits both, and their medians are compared.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RUNS = 9
COMMAND = str(Path(sys.executable).parent / "reconciler")

Work = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table. `goal` is what the ratio is to stay below, where one is set."""

    name: str
    amount: float
    baseline: str
    baseline_amount: float
    unit: str = "s"
    goal: float | None = None

    @property
    def ratio(self) -> float:
        return self.amount / self.baseline_amount

    def as_json(self) -> dict[str, Any]:
        is_met = None if self.goal is None else self.ratio < self.goal
        return asdict(self) | {"ratio": self.ratio, "is_met": is_met}


def compare(
    name: str, work: Work, baseline: str, *baseline_works: Work, goal: float | None = None, runs: int = RUNS
) -> Figure:
    """The work against the sum of the works of its baseline, run in turn."""
    mine, *others = _medians([work, *baseline_works], runs)
    return Figure(name=name, amount=mine, baseline=baseline, baseline_amount=sum(others), goal=goal)


def process(*line: str, **options: Any) -> Work:
    """Runs a whole process, which is to end well."""

    def work() -> None:
        ended = subprocess.run(line, capture_output=True, text=True, **options)
        if ended.returncode != 0:
            raise RuntimeError(f"{line} ended with {ended.returncode}: {ended.stderr}")

    return work


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
