"""`make bench`: every figure against a baseline of the same run, as a table and as JSON.

`python -m benchmarks start planner` runs only these (benchmarks/suites.py has the names), and `--runs 2` measures less
often. A whole run is kept in benchmarks/last-run.json, and its table in docs/explanation/performance.md. `--check`
writes nothing: it compares the rows of CPU time with that run, and ends 1 where one got slower.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.check import FACTOR, slower, uncompared
from benchmarks.figure import Figure
from benchmarks.suites import SUITES
from benchmarks.table import table, written_into
from benchmarks.trees import BaselineError, Tree, baseline_tree, current_tree

LAST_RUN = Path(__file__).parent / "last-run.json"
DOCS = Path(__file__).parents[1] / "docs" / "explanation" / "performance.md"
USAGE = 64


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmarks, as ratios in one run.")
    parser.add_argument("suites", nargs="*", help=f"all that are usual by default: {', '.join(SUITES)}")
    parser.add_argument("--check", action="store_true", help="compare CPU with the run that is kept, write nothing")
    parser.add_argument("--runs", type=int, help="measure nothing more often than this")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.suites if name not in SUITES]:
        sys.stderr.write(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(SUITES)}\n")
        return USAGE
    if given.check:
        return check(given.suites, given.runs)
    bench = prepared(given.runs)
    figures = list(measured(given.suites or [name for name, suite in SUITES.items() if suite.is_usual], bench))
    run = {"environment": environment(bench.baseline), "figures": [figure.as_json() for figure in figures]}
    print(table(run))
    if given.suites or given.runs:
        print(json.dumps(run))
    else:
        LAST_RUN.write_text(json.dumps(run, indent=2) + "\n")
        DOCS.write_text(written_into(DOCS.read_text(), run))
    return 0


def check(chosen: list[str], runs: int | None) -> int:
    """Tell which rows of CPU time got slower, and which cannot be compared; return 1 where one got slower."""
    kept = json.loads(LAST_RUN.read_text())
    names = [name for name, suite in SUITES.items() if suite.is_cpu and name in (chosen or SUITES)]
    figures = list(measured(names, prepared(runs)))
    lines = slower(figures, kept)
    if not chosen and (missing := uncompared(figures, kept)):
        print("not compared, as only one of the two runs has it: " + "; ".join(missing))
    compared = len(figures) - len([figure for figure in figures if figure.name in uncompared(figures, kept)])
    print(
        f"{len(lines)} of {compared} rows got slower by more than {FACTOR - 1:.0%} since {kept['environment']['date']}"
    )
    print("\n".join(lines))
    return 1 if lines or not compared else 0


def prepared(runs: int | None) -> Bench:
    """Both trees with their bytecode; without the baseline where that cannot be built."""
    current, baseline = current_tree(), None
    current.prepare()
    try:
        baseline = baseline_tree()
        baseline.prepare()
    except BaselineError as error:
        sys.stderr.write(f"rows against the baseline are left out: {error}\n")
    return Bench(current=current, baseline=baseline, most_runs=runs)


def measured(names: list[str], bench: Bench) -> Iterator[Figure]:
    for name in names:
        sys.stderr.write(f"{name}\n")
        yield from SUITES[name].figures(bench)


def environment(baseline: Tree | None) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "date": datetime.now(UTC).date().isoformat(),
        "baseline": baseline and baseline.commit,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
