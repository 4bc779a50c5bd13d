"""A plan of 10,000 changes in every format, against the planning of as many machines."""

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from benchmarks.answers import observed_of, spec_of
from benchmarks.bench import Bench
from benchmarks.figure import Figure
from reconciler.planner.hashes import plan_sha256
from reconciler.planner.planner import plan
from reconciler.render.html import plan_html
from reconciler.render.json import json_text, plan_json
from reconciler.render.markdown import plan_markdown
from reconciler.render.text import plan_text

COUNT = 10_000


def render_figures(bench: Bench) -> Iterator[Figure]:
    spec, observed = spec_of(COUNT), observed_of(spec_of(COUNT, tag="0"))
    changes = plan(spec, observed)
    # No two of them alike, so that none share a line.
    alone = tuple(replace(one, reason=f"{one.reason} in {one.slot.name}") for one in changes.changes)
    changes = replace(changes, changes=alone)
    found = plan_sha256(changes)
    formats: dict[str, Callable[[], str]] = {
        "text": lambda: plan_text(changes, salt="s"),
        "text of 80 columns": lambda: plan_text(changes, width=80, salt="s"),
        "JSON": lambda: json_text(plan_json(changes, plan_sha256=found, salt="s")),
        "Markdown": lambda: plan_markdown(changes, plan_sha256=found, salt="s"),
        "HTML": lambda: plan_html(changes, plan_sha256=found, salt="s"),
    }
    for name, render in formats.items():
        yield bench.compare(
            f"{COUNT:,} changes as {name}", render, "planning them", lambda: plan(spec, observed), runs=2
        )
