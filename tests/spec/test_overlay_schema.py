"""What editors say of an overlay is what the command says: nothing is needed, and null is allowed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "schemas" / "overlay.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
CASES: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests" / "cases" / "overlays.yaml").read_text())


def test_it_follows_the_schema_of_specs() -> None:
    made = subprocess.run([sys.executable, "tools/overlay_schema.py"], cwd=ROOT, capture_output=True, check=True)
    hint = "run: python tools/overlay_schema.py > schemas/overlay.schema.json"
    assert json.loads(made.stdout) == SCHEMA, hint


def test_each_description_is_there_for_editors() -> None:
    task = SCHEMA["$defs"]["pool"]["properties"]
    assert [name for name, member in task.items() if "description" not in member and "$ref" not in str(member)] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_an_overlay_fits(case: dict[str, Any]) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(case["over"] or {})] == []


@pytest.mark.parametrize(
    "text",
    [
        "tasks: {}",
        "apps: {a: {imagine: x}}",
        "apps: {a: {tasks: {work: {count: many}}}}",
        "apps: {a: {tasks: {work: {cuont: null}}}}",
        "apps: {A: null}",
        "version: 2",
        "apps: {a: {files: [{mode: 0}]}}",
        "[]",
    ],
)
def test_what_no_spec_may_have_does_not_fit(text: str) -> None:
    assert [*VALIDATOR.iter_errors(yaml.safe_load(text))]
