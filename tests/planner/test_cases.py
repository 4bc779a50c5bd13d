"""Planner cases as folders of tests/cases/plan: the plan's text is the oracle.

`spec.yaml` is what is declared; `applied.yaml`, where there is one, is what was applied before, by us, faithfully;
`options.json` is how the plan is asked for;
`observed.json` is what the platform reports beside or instead of that: for each app a map of machine name to what its
JSON says differently, `null` where the machine is gone; `addresses.json` has the IP addresses that each app lists.
`plan.txt` is what the plan says; where a case has `plan.md`, `plan.html` or `plan.json` too, those are the other
formats' words.

RECONCILER_REWRITE=1 writes the plans anew, to be read before they are committed.
"""

import os
import random

import pytest

from reconciler.canonical.change_hashes import change_hashes
from reconciler.model.plan import Plan
from reconciler.planner.hashes import plan_sha256
from reconciler.planner.planner import Planner
from reconciler.render.html import plan_html
from reconciler.render.json import json_text, plan_json
from reconciler.render.markdown import plan_markdown
from reconciler.render.text import plan_text
from tests.support.plan_cases import CASES, ROOT, asked_in, observed_of, plan_of, read_spec

FORMATS = [
    (case, format)
    for case in CASES
    for format in ("txt", "md", "html", "json")
    if (ROOT / case / f"plan.{format}").exists()
]
CANARY = "canary-value"


def in_format(plan: Plan, format: str) -> str:
    found = plan_sha256(plan)
    match format:
        case "txt":
            return plan_text(plan, salt="fixed") + "\n"
        case "md":
            return plan_markdown(plan, plan_sha256=found, salt="fixed", change_hashes=change_hashes(plan))
        case "html":
            return plan_html(plan, plan_sha256=found, salt="fixed")
        case _:
            document = plan_json(plan, plan_sha256=found, salt="fixed", change_hashes=change_hashes(plan))
            return json_text(document) + "\n"


@pytest.mark.parametrize(("case", "format"), FORMATS)
def test_the_plan_says_what_the_case_says(case: str, format: str) -> None:
    file = ROOT / case / f"plan.{format}"
    text = in_format(plan_of(ROOT / case), format)
    if os.environ.get("RECONCILER_REWRITE"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("case", CASES)
def test_the_order_in_which_machines_were_listed_is_of_no_consequence(case: str) -> None:
    expected = plan_of(ROOT / case)
    for seed in range(5):
        assert plan_of(ROOT / case, shuffle=random.Random(seed)) == expected


@pytest.mark.parametrize("case", CASES)
def test_a_plan_that_keeps_no_machines_is_the_same(case: str) -> None:
    spec = read_spec(ROOT / case / "spec.yaml")
    observed, planner = observed_of(ROOT / case, spec), Planner(spec.stack, **asked_in(ROOT / case))
    for app in spec.apps:
        planner.add(app, observed.apps[app.name], observed.at)
    warnings = (*spec.warnings, *observed.warnings)
    made = planner.plan([app.name for app in spec.apps], observed_at=observed.at, warnings=warnings)
    assert made == plan_of(ROOT / case)


@pytest.mark.parametrize("case", CASES)
def test_no_value_of_the_environment_or_of_a_file_is_shown(case: str) -> None:
    plan = plan_of(ROOT / case)
    for format in ("txt", "md", "html", "json"):
        assert CANARY not in in_format(plan, format)
    assert CANARY not in plan_text(plan, salt="s", color=True, width=40)


def test_a_masked_value_differs_from_one_output_to_the_next() -> None:
    plan = plan_of(ROOT / "env-changed")
    assert plan_text(plan, salt="a") != plan_text(plan, salt="b")
    assert plan_text(plan, salt="a") == plan_text(plan, salt="a")
