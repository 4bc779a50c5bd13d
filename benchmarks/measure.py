"""Medians of several runs: the machine that this runs on is not quiet."""

import statistics
import time
from collections.abc import Callable

RUNS = 7


def median_s(work: Callable[[], object], runs: int = RUNS) -> float:
    """The median time of the work, in seconds, after one run to warm up."""
    work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
