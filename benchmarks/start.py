"""What needs no API, as whole processes: CPU against Python's own start."""

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.figure import Figure, under
from benchmarks.home import open_home
from benchmarks.measure import cpu_s, process

GOALS = {"--help": 3.0, "--version": 3.0, "completion bash": 3.0, "validate": 6.5}
RUNS = 25


def start_figures(bench: Bench) -> Iterator[Figure]:
    with open_home() as home:
        start = process(bench.current.python, "-c", "pass", cwd=home.directory, env=home.environment)
        for line, goal in GOALS.items():
            work = home.command(*line.split())
            yield bench.compare(line, work, "python -c pass", start, goal=under(goal), clock=cpu_s, runs=RUNS)
