"""The schemas of the documents, held strictly."""

from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).parents[2] / "schemas"


def strict(schema: Any) -> Any:
    """The schema that allows no member that it does not name."""
    if isinstance(schema, list):
        return [strict(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(member) for key, member in schema.items()}
    if isinstance(schema.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed
