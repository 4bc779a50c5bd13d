"""`make test` in both trees, in turn: how long it takes, and how many cases it has. Takes an hour; never by default."""

import re
import time
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.figure import Figure, at_least, at_most
from benchmarks.trees import Tree, make

CASES = re.compile(r"(\d+) (?:passed|skipped|xfailed)")


def make_test_figures(bench: Bench) -> Iterator[Figure]:
    if bench.baseline is None:
        return
    for tree in (bench.baseline, bench.current):
        make(tree.root, "install")
        tree.prepare()
    (theirs_s, their_cases), (ours_s, our_cases) = (_tested(tree) for tree in (bench.baseline, bench.current))
    against = "the baseline"
    yield Figure(name="make test", amount=ours_s, baseline=against, baseline_amount=theirs_s, goal=at_most(0.67))
    yield Figure(
        name="cases of `make test`",
        amount=our_cases,
        baseline=against,
        baseline_amount=their_cases,
        unit="cases",
        goal=at_least(1),
    )


def _tested(tree: Tree) -> tuple[float, int]:
    """Seconds, and cases: those that passed, and those that this computer cannot run."""
    began = time.perf_counter()
    shown = make(tree.root, "test")
    return time.perf_counter() - began, cases_in(shown.strip().rpartition("\n")[2])


def cases_in(summary: str) -> int:
    """How many cases the last line of pytest counts."""
    return sum(int(count) for count in CASES.findall(summary))
