"""Verbs as whole processes: CPU against the same verb of the baseline commit. Both talk to this tree's engine."""

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.figure import Figure, at_most, under
from benchmarks.home import open_home
from benchmarks.measure import cpu_s
from benchmarks.trees import Tree

VERBS = {"plan": ["plan"], "invoke of true": ["invoke", "ok"], "status": ["status"], "runs": ["runs", "ok"]}
MACHINES = {"1 machine": 1, "100 machines": 100}
RUNS = 11
APPLIES = 5  # of 100 processes each

TASK = """version: 1
name: b
apps: {{b: {{image: i, tasks: {{ok: {{command: ["true"], count: {}}}}}}}}}
"""
SERVICES = """version: 1
name: b
apps:
  b:
    image: i
    services: {web: {command: [sleep, "100000"], count: 100, rollout: {min_healthy: 0s}}}
"""


def command_figures(bench: Bench) -> Iterator[Figure]:
    if bench.baseline:
        yield from _verbs(bench, bench.baseline)
        yield _services(bench, bench.baseline)


def _verbs(bench: Bench, baseline: Tree) -> Iterator[Figure]:
    goal = at_most(0.62, aim=0.5)
    for size, count in MACHINES.items():
        with open_home(TASK.format(count)) as home:
            home.command("apply", "--yes")()
            for name, line in VERBS.items():
                works = home.command(*line), home.command(*line, tree=baseline)
                what = f"{name}, {size}"
                yield bench.compare(what, works[0], "the baseline", works[1], goal=goal, clock=cpu_s, runs=RUNS)


def _services(bench: Bench, baseline: Tree) -> Figure:
    """Each run has an engine of its own, with nothing in it."""
    with open_home(SERVICES) as home:
        return bench.compare(
            "apply of 100 services, min_healthy: 0s",
            home.command("apply", "--yes"),
            "the baseline",
            home.command("apply", "--yes", tree=baseline),
            goal=under(0.8),
            clock=cpu_s,
            runs=APPLIES,
            before=home.empty,
        )
