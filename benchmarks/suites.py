"""Which benchmarks there are, in the order in which they run, and in which file each has its rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.commands import command_figures
from benchmarks.engine import engine_figures
from benchmarks.figure import Figure
from benchmarks.invoke import invoke_figures
from benchmarks.machines import machine_figures
from benchmarks.make_test import make_test_figures
from benchmarks.planner import planner_figures
from benchmarks.render import render_figures
from benchmarks.sizes import size_figures
from benchmarks.start import start_figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """`is_cpu`: its rows are the CPU of whole processes, so `--check` compares them. `is_usual`: part of every run."""

    figures: Callable[[Bench], Iterator[Figure]]
    is_cpu: bool = False
    is_usual: bool = True


SUITES = {
    "start": Suite(figures=start_figures, is_cpu=True),
    "commands": Suite(figures=command_figures, is_cpu=True),
    "sizes": Suite(figures=size_figures, is_cpu=True),
    "invoke": Suite(figures=invoke_figures),
    "engine": Suite(figures=engine_figures),
    "machines": Suite(figures=machine_figures),
    "planner": Suite(figures=planner_figures),
    "render": Suite(figures=render_figures),
    "tests": Suite(figures=make_test_figures, is_usual=False),
}
