"""What every suite is given: the trees, and how often to run what it measures."""

from dataclasses import dataclass
from typing import Any

from benchmarks.figure import Figure
from benchmarks.measure import RUNS, Work, compare
from benchmarks.trees import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """`baseline` is None where it cannot be built: then rows against it are left out."""

    current: Tree
    baseline: Tree | None
    most_runs: int | None = None

    def runs(self, wanted: int) -> int:
        return min(wanted, self.most_runs or wanted)

    def compare(
        self, name: str, work: Work, baseline: str, *baseline_works: Work, runs: int = RUNS, **options: Any
    ) -> Figure:
        """As `measure.compare`, with as many runs as are allowed."""
        return compare(name, work, baseline, *baseline_works, runs=self.runs(runs), **options)
