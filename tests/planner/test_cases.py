"""Planner cases as folders of tests/cases/plan: the plan's text is the oracle.

`spec.yaml` is what is declared; `applied.yaml`, where there is one, is what was applied before, by us, faithfully;
`options.json` is how the plan is asked for;
`observed.json` is what the platform reports beside or instead of that: for each app a map of machine name to what its
JSON says differently, `null` where the machine is gone. `plan.txt` is what the plan says; where a case has `plan.md`,
`plan.html` or `plan.json` too, those are the other formats' words.

RECONCILER_REWRITE=1 writes the plans anew, to be read before they are committed.
"""

import json
import os
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.machines_api.wire import machines_from_json
from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.plan import Plan
from reconciler.model.revision import numbered
from reconciler.model.spec import Spec
from reconciler.planner.desired import desired_machine
from reconciler.planner.hashes import plan_sha256
from reconciler.planner.planner import Planner
from reconciler.planner.planner import plan as make_plan
from reconciler.render.html import plan_html
from reconciler.render.json import json_text, plan_json
from reconciler.render.markdown import plan_markdown
from reconciler.render.text import plan_text
from reconciler.slots.ownership_metadata import metadata_for_create
from reconciler.spec import load_spec

ROOT = Path(__file__).parent.parent / "cases" / "plan"
CASES = sorted(path.name for path in ROOT.iterdir())
FORMATS = [
    (case, format)
    for case in CASES
    for format in ("txt", "md", "html", "json")
    if (ROOT / case / f"plan.{format}").exists()
]
CANARY = "canary-value"


def read_spec(path: Path) -> Spec:
    return load_spec(path.read_text(), file=path.name, environment={})


def applied_machines(spec: Spec) -> dict[str, dict[str, dict[str, Any]]]:
    """By app and name, the JSON of the machines that an apply of the spec makes."""
    worlds: dict[str, dict[str, dict[str, Any]]] = {}
    for app in spec.apps:
        machines = worlds.setdefault(app.name, {})
        for pool in app.pools:
            assert pool.anchor or not pool.slots
            for slot in pool.slots:
                desired = desired_machine(pool, slot, anchor=pool.anchor.name if pool.anchor else None)
                metadata = metadata_for_create(replace(desired, counts=None), stack=spec.stack, attempt="01")
                machines[slot.name] = {
                    "id": f"id-{slot.name}",
                    "name": slot.name,
                    "region": slot.region,
                    "state": "stopped" if pool.kind.value == "task" else "started",
                    "instance_id": "01",
                    "config": pool.config.with_metadata(metadata).document,
                    "created_at": "2026-01-01T00:00:00Z",
                }
    return worlds


def merged(value: Any, patch: Any) -> Any:
    """JSON merge patch: maps are merged, null takes a member away, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    base = dict(value) if isinstance(value, dict) else {}
    for key, member in patch.items():
        if member is None:
            base.pop(key, None)
        else:
            base[key] = merged(base.get(key), member)
    return base


def observed_of(folder: Path, spec: Spec, *, shuffle: random.Random | None = None) -> Observed:
    applied, patches = folder / "applied.yaml", folder / "observed.json"
    worlds = applied_machines(read_spec(applied)) if applied.exists() else {}
    if patches.exists():
        worlds = merged(worlds, json.loads(patches.read_text()))
    apps = {}
    for app in spec.apps:
        machines = list(worlds.get(app.name, {}).values())
        count = next((one["machine_count"] for one in machines if "machine_count" in one), None)
        machines = [one for one in machines if "machine_count" not in one]
        if shuffle:
            shuffle.shuffle(machines)
        apps[app.name] = ObservedApp(
            name=app.name,
            exists=app.name in worlds,
            machines=machines_from_json(app.name, machines),
            reported_count=count,
        )
    return Observed(apps=apps, at=datetime(2026, 1, 1, tzinfo=UTC))


def plan_of(folder: Path, **options: Any) -> Plan:
    spec = read_spec(folder / "spec.yaml")
    return make_plan(spec, observed_of(folder, spec, **options), **asked_in(folder))


def asked_in(folder: Path) -> dict[str, Any]:
    """Options of the planner."""
    asked = folder / "options.json"
    more: dict[str, Any] = json.loads(asked.read_text()) if asked.exists() else {}
    return more | ({"revision": numbered(more["revision"])} if "revision" in more else {})


def in_format(plan: Plan, format: str) -> str:
    found = plan_sha256(plan)
    match format:
        case "txt":
            return plan_text(plan, salt="fixed") + "\n"
        case "md":
            return plan_markdown(plan, plan_sha256=found, salt="fixed")
        case "html":
            return plan_html(plan, plan_sha256=found, salt="fixed")
        case _:
            return json_text(plan_json(plan, plan_sha256=found, salt="fixed")) + "\n"


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
