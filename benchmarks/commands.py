"""Commands as whole processes, against Python's own start."""

import sys
from collections.abc import Iterator

from benchmarks.home import open_home
from benchmarks.measure import Figure, compare, process

VERBS = {"--help": ["--help"], "validate": ["validate"], "plan": ["plan"], "invoke of true": ["invoke", "ok"]}
GOALS = {"--help": 5.0}


def command_figures() -> Iterator[Figure]:
    start = process(sys.executable, "-c", "pass")
    with open_home() as home:
        home.command("apply", "--yes")()
        for name, arguments in VERBS.items():
            yield compare(name, home.command(*arguments), "python -c pass", start, goal=GOALS.get(name), runs=15)
