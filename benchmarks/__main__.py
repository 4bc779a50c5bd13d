"""`make bench`: every figure against a baseline of the same run, as a table and as JSON.

`python -m benchmarks startup planner` runs only these; a whole run is kept in benchmarks/last-run.json, and its table
in docs/explanation/performance.md.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.commands import command_figures
from benchmarks.engine import engine_figures
from benchmarks.invoke import invoke_figures
from benchmarks.machines import machine_figures
from benchmarks.measure import Figure
from benchmarks.planner import planner_figures
from benchmarks.render import render_figures
from benchmarks.table import table, written_into

SUITES: dict[str, Callable[[], Iterator[Figure]]] = {
    "startup": command_figures,
    "invoke": invoke_figures,
    "machines": machine_figures,
    "planner": planner_figures,
    "render": render_figures,
    "engine": engine_figures,
}
LAST_RUN = Path(__file__).parent / "last-run.json"
DOCS = Path(__file__).parents[1] / "docs" / "explanation" / "performance.md"


def main(chosen: list[str]) -> int:
    unknown = [name for name in chosen if name not in SUITES]
    if unknown:
        sys.stderr.write(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(SUITES)}\n")
        return 64
    run: dict[str, Any] = {"environment": environment(), "figures": []}
    for name in chosen or SUITES:
        sys.stderr.write(f"{name}\n")
        run["figures"] += [figure.as_json() for figure in SUITES[name]()]
    print(table(run))
    if chosen:
        print(json.dumps(run))
    else:
        LAST_RUN.write_text(json.dumps(run, indent=2) + "\n")
        DOCS.write_text(written_into(DOCS.read_text(), run))
    return 0


def environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "date": datetime.now(UTC).date().isoformat(),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
