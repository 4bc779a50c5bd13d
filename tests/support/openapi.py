"""Fly's OpenAPI document of the Machines API, pruned of its prose; tests/api/README.md says how it is renewed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[1] / "api" / "machines-openapi.json"


def document() -> dict[str, Any]:
    """Return the document, read anew: the caller may change it."""
    found: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return found


def nodes_of_a_config() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each member of `fly.MachineConfig`, sections and leaves alike: its path and its schema.

    A path is such as `services[].ports[].port`: `[]` stands for an item of a list, `*` for any key of a map.
    """
    schemas = document()["components"]["schemas"]

    def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        while "$ref" in schema or "allOf" in schema:
            schema = schema["allOf"][0] if "allOf" in schema else schemas[schema["$ref"].rpartition("/")[2]]
        yield path, schema
        for name, member in schema.get("properties", {}).items():
            yield from walk(member, f"{path}.{name}".lstrip("."))
        if isinstance(schema.get("additionalProperties"), dict):
            yield from walk(schema["additionalProperties"], f"{path}.*")
        if schema.get("type") == "array":
            yield from walk(schema["items"], f"{path}[]")

    return walk(schemas["fly.MachineConfig"], "")


def leaves_of_a_config() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the leaves of `fly.MachineConfig`: each setting that has a value of its own."""
    for path, schema in nodes_of_a_config():
        if not {"properties", "items"} & set(schema) and not isinstance(schema.get("additionalProperties"), dict):
            yield path, schema
