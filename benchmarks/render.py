"""A plan of 10,000 changes in every format, against the planning of as many machines. `python -m benchmarks.render`."""

from collections.abc import Callable
from dataclasses import replace

from benchmarks.measure import median_s
from benchmarks.planner import observed_of, spec_of
from reconciler.planner import plan, plan_sha256
from reconciler.render.html import plan_html
from reconciler.render.json import json_text, plan_json
from reconciler.render.markdown import plan_markdown
from reconciler.render.text import plan_text

COUNT = 10_000


def render_figures() -> dict[str, float]:
    """The seconds of each format, and their ratios to the planner's."""
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
    planning_s = median_s(lambda: plan(spec, observed), 3)
    seconds = {name: median_s(render, 3) for name, render in formats.items()}
    return {f"plan of {COUNT:,} changes as {name}, s": taken for name, taken in seconds.items()} | {
        f"plan of {COUNT:,} changes as {name} / planning it": taken / planning_s for name, taken in seconds.items()
    }


if __name__ == "__main__":
    for name, value in render_figures().items():
        print(f"{name:<60} {value:8.2f}")
