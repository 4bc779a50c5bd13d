"""`make bench`: every figure as a ratio against a baseline of the same run, with the environment."""

import json
import os
import platform
import sys

from benchmarks.commands import command_figures
from benchmarks.engine import engine_figures
from benchmarks.invoke import invoke_figures
from benchmarks.planner import planner_figures
from benchmarks.render import render_figures


def main() -> int:
    figures = planner_figures() | render_figures() | command_figures() | invoke_figures() | engine_figures()
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    print(machine)
    for name, value in figures.items():
        print(f"  {name:<50} {value:8.2f}")
    print(json.dumps({"environment": machine, "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
