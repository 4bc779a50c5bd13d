"""`reconciler schema`: each schema by its name, whole and valid."""

import json

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.main import run
from tests.support.schemas import SCHEMAS


def test_each_schema_is_printed_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "--list"]) == 0
    names = capsys.readouterr().out.split()
    assert names == sorted(path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.schema.json"))
    assert {"spec", "event", "plan"} <= {*names}
    for name in names:
        assert run(["schema", name]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown == json.loads((SCHEMAS / f"{name}.schema.json").read_text())
        Draft202012Validator.check_schema(shown)


def test_without_a_name_it_is_that_of_the_spec(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((SCHEMAS / "spec.schema.json").read_text())


def test_an_unknown_name_is_a_usage_error_that_lists_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "../spec"]) == 64
    shown = capsys.readouterr().err
    assert "event" in shown
    assert "status" in shown
