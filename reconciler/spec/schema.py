"""Check the shape of a spec by its JSON Schema."""

from functools import cache
from pathlib import Path
from typing import Any

from msgspec import json

from reconciler.spec.diagnostics import Findings
from reconciler.spec.shape import fits
from reconciler.spec.yaml_nodes import Node, plain_value


@cache
def spec_schema() -> dict[str, Any]:
    """Return the spec's JSON Schema: from the wheel, or from the top of a checkout."""
    package = Path(__file__).parent.parent
    packaged = package / "schemas" / "spec.schema.json"
    found = packaged if packaged.is_file() else package.parent / "schemas" / "spec.schema.json"
    schema: dict[str, Any] = json.decode(found.read_bytes())
    return schema


def check_shape(root: Node, findings: Findings) -> Node | None:
    """Return the tree with the schema's shape; None if every deviation is a finding.

    Values of variables have the types then that their places ask for.
    """
    schema = spec_schema()
    if fits(plain_value(root), schema, schema):
        return root
    from reconciler.spec.variable_types import with_fitting_types

    root = with_fitting_types(root, schema)
    value = plain_value(root)
    if fits(value, schema, schema):
        return root
    from reconciler.spec.shape_errors import explain_shape

    explain_shape(value, root, findings)
    return None
