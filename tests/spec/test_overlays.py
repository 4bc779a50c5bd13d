"""One file over another: maps merge, lists replace, null takes away. The cases are tests/cases/overlays.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from reconciler.errors import SpecError
from reconciler.spec import load_spec
from reconciler.spec.diagnostics import Findings
from reconciler.spec.document import parse_document
from reconciler.spec.overlays import lay_over
from reconciler.spec.yaml_nodes import Node, plain_value

ROOT = Path(__file__).parent.parent
CASES: list[dict[str, Any]] = yaml.safe_load((ROOT / "cases" / "overlays.yaml").read_text())
SPECS = sorted((ROOT / "cases" / "plan").glob("*/spec.yaml"))[::9]
SPEC = """
version: 1
name: shop
apps:
  shop:
    image: i
    tasks:
      work:
        command: [x]
"""


def tree(name: str, value: Any, findings: Findings) -> Node:
    root = parse_document(name, yaml.safe_dump(value, sort_keys=False), findings)
    assert root is not None
    return root


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_it_lies_over_the_spec(case: dict[str, Any]) -> None:
    findings = Findings()
    below, over = (tree(name, case[name], findings) for name in ("below", "over"))
    made = plain_value(lay_over(below, over, findings))
    assert not findings.found
    assert made == case["makes"]
    assert plain_value(below) == case["below"]  # which is left as it was


@pytest.mark.parametrize("file", SPECS, ids=lambda file: str(file.parent.name))
def test_a_spec_over_itself_is_the_spec(file: Path) -> None:
    text = file.read_text()
    spec = load_spec(text, file="a", environment={})
    twice = load_spec(text, file="a", environment={}, overlays=[("a", text)])
    assert replace(twice, overlays=()) == spec


def test_each_error_is_in_its_own_file_and_shows_its_line() -> None:
    over = "apps:\n  shop:\n    tasks:\n      work:\n        count: two\n"
    top = "apps: {shop: {tasks: {work: {timeout: soon}}}}\n"
    with pytest.raises(SpecError) as caught:
        load_spec(SPEC, file="a.yaml", environment={}, overlays=[("b.yaml", over), ("c.yaml", top)])
    assert [(str(one.place), (one.source_line or "").strip()) for one in caught.value.diagnostics] == [
        ("b.yaml:5:16", "count: two"),
        ("c.yaml:1:39", top.strip()),
    ]


def test_what_is_replaced_needs_no_variable() -> None:
    base = SPEC.replace("image: i", "image: ${IMAGE}")
    with pytest.raises(SpecError):
        load_spec(base, file="a", environment={})
    spec = load_spec(base, file="a", environment={}, overlays=[("b", "apps: {shop: {image: '${OTHER:-j}'}}")])
    assert spec.pools[0].config.image == "j"
    assert spec.variables == {"OTHER"}


def test_two_files_are_no_way_round_the_limit_of_values() -> None:
    """Each file may have 100,000 values; what all pools have together is counted of the merged spec."""
    variables = ", ".join(f"V{number}: x" for number in range(3000))
    defaults = f"defaults: {{env: {{{variables}}}}}\n"
    tasks = ", ".join(f"t{number}: {{command: [x]}}" for number in range(800))
    over = f"apps: {{shop: {{tasks: {{{tasks}}}}}}}\n"
    with pytest.raises(SpecError, match="have more than 2000000 values in all"):
        load_spec(SPEC, file="a", environment={}, overlays=[("b", defaults), ("c", over)])
