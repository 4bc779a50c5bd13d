"""The lines that `--events` writes, each held against its schema."""

import json
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.support.schemas import SCHEMAS, strict


def _schema(name: str) -> Any:
    return strict(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


def events_in(text: str) -> list[dict[str, Any]]:
    """The events of the lines: each is whole, valid, and the last one a summary."""
    names = ("plan", "report")
    registry: Registry[Any] = Registry().with_resources(
        (f"{name}.schema.json", Resource.from_contents(_schema(name), DRAFT202012)) for name in names
    )
    check = Draft202012Validator(_schema("event"), registry=registry)
    assert text.endswith("\n")
    found = [json.loads(line) for line in text.splitlines()]
    for one in found:
        check.validate(one)
    assert [one["time"] for one in found] == sorted(one["time"] for one in found)
    assert [one["type"] for one in found].count("summary") == 1
    assert found[-1]["type"] == "summary"
    return found


def types_of(events: list[dict[str, Any]], address: str | None = None) -> list[str]:
    """What happened, in order; of one change."""
    return [one["type"] for one in events if address is None or one["address"] == address]
