"""How works are measured: in turn, so that whatever else the machine does hits all of them; medians count."""

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, Goal

RUNS = 9

Work = Callable[[], object]
Clock = Callable[[], float]

wall_s: Clock = time.perf_counter


def cpu_s() -> float:
    """User and system time of all child processes that have ended. Only whole processes can be measured so."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(
    name: str,
    work: Work,
    baseline: str,
    *baseline_works: Work,
    goal: Goal | None = None,
    runs: int = RUNS,
    clock: Clock = wall_s,
    before: Work | None = None,
) -> Figure:
    """The work against the sum of the works of its baseline. `before` is done before each, and not measured."""
    mine, *others = medians([work, *baseline_works], runs, clock=clock, before=before)
    return Figure(
        name=name, amount=mine, baseline=baseline, baseline_amount=sum(others), goal=goal, is_cpu=clock is cpu_s
    )


def medians(works: Sequence[Work], runs: int, *, clock: Clock = wall_s, before: Work | None = None) -> list[float]:
    """What each work takes, run in turn after each has been run once: bytecode is written then, caches are filled."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(runs + 1):
        for work, taken in zip(works, times, strict=True):
            if before:
                before()
            began = clock()
            work()
            if number:
                taken.append(clock() - began)
    return [statistics.median(taken) for taken in times]


def process(*line: str | Path, env: Mapping[str, str], **options: Any) -> Work:
    """Runs a whole process, which is to end well."""
    return lambda: said(*line, env=env, **options)


def said(*line: str | Path, env: Mapping[str, str], **options: Any) -> str:
    """What a process writes, which is to end well."""
    ended: subprocess.CompletedProcess[str] = subprocess.run(line, capture_output=True, text=True, env=env, **options)
    if ended.returncode != 0:
        raise RuntimeError(f"{line} ended with {ended.returncode}: {ended.stdout[-2000:]}{ended.stderr}")
    return ended.stdout


def environment(**more: str) -> dict[str, str]:
    """The environment of every process that is measured: nothing of Python's, of make's, or that our command reads.

    So bytecode is written and read, each tree imports itself, and a hash has one seed.
    """
    dropped = ("PYTHON", "MAKE", "MFLAGS", "FLY_", "RECONCILER_", "GITHUB_", "GITLAB_", "CI_", "COLUMNS", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped) and name != "CI"}
    return kept | {"PYTHONHASHSEED": "0"} | more
