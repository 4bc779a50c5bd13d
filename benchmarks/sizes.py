"""How the CPU of a plan grows with machines and with apps, as whole processes against lists that are there already."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.answers import loaded, text_of
from benchmarks.bench import Bench
from benchmarks.figure import Figure, exponent_of, under
from benchmarks.measure import Work, cpu_s, environment, medians
from benchmarks.stub import serve_lists

SIZES = (1_000, 3_000, 10_000)
APPS = 100
RUNS = 5


def size_figures(bench: Bench) -> Iterator[Figure]:
    stacks = [(1, 1), *((1, size) for size in SIZES), (APPS, SIZES[0] // APPS)]
    with ExitStack() as exit_stack:
        plans = [_plan(bench, exit_stack, apps=apps, in_each=in_each) for apps, in_each in stacks]
        one, *sizes, many_apps = medians(plans, bench.runs(RUNS), clock=cpu_s)
    grown = {size: taken - one for size, taken in zip(SIZES, sizes, strict=True)}
    yield Figure(
        name="plan of 1,000, 3,000 and 10,000 machines in one app, less that of one machine; its exponent",
        amount=grown[10_000],
        baseline="1,000 machines",
        baseline_amount=grown[1_000],
        is_cpu=True,
        exponent=exponent_of(grown),
        goal=under(1.05),
    )
    yield Figure(
        name=f"plan of 1,000 machines in {APPS} apps",
        amount=many_apps,
        baseline="1,000 machines in one app",
        baseline_amount=sizes[0],
        is_cpu=True,
        goal=under(1.3),
    )


def _plan(bench: Bench, exit_stack: ExitStack, *, apps: int, in_each: int) -> Work:
    """A plan without changes, of so many apps."""
    directory = Path(exit_stack.enter_context(tempfile.TemporaryDirectory()))
    text = text_of(apps=apps, in_each=in_each)
    (directory / "machines.yaml").write_text(text)
    url = exit_stack.enter_context(serve_lists(loaded(text)))
    return bench.current.runs("plan", cwd=directory, env=environment(RECONCILER_TARGET=url, FLY_API_TOKEN="t"))
