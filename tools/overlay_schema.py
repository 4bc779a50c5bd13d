"""Print the JSON Schema of an overlay: that of a spec, in which nothing is required and null takes away.

The items of a list are whole, since an overlay replaces lists: what they refer to is in `$defs` once more.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

SPEC: Final = Path(__file__).parent.parent / "schemas" / "spec.schema.json"
_MEMBERS: Final = ("properties", "patternProperties")
_ALTERNATIVES: Final = ("allOf", "anyOf", "oneOf")
_DEFS: Final = "#/$defs/"
_WHOLE: Final = "#/$defs/whole-"
_NEEDS: Final = frozenset({"required", "minProperties"})


def overlay_schema(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an overlay of such a spec."""
    schema = _relaxed(spec)
    schema["$defs"] = {name: _relaxed(one) for name, one in spec["$defs"].items()}
    schema["$defs"] |= _referred(schema, spec["$defs"])
    schema["$id"] = spec["$id"].replace("spec.schema", "overlay.schema")
    schema["title"] = "An overlay of a spec, such as machines.staging.yaml"
    schema["description"] = "Maps merge, lists and other values replace, null takes away."
    return schema


def _relaxed(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    relaxed = {key: value for key, value in schema.items() if key not in _NEEDS}
    for key in _MEMBERS:
        if key in relaxed:
            relaxed[key] = {name: _nullable(member) for name, member in relaxed[key].items()}
    if "items" in relaxed:
        relaxed["items"] = _whole(relaxed["items"])
    if isinstance(relaxed.get("additionalProperties"), dict):
        relaxed["additionalProperties"] = _nullable(relaxed["additionalProperties"])
    for key in _ALTERNATIVES:
        if key in relaxed:
            relaxed[key] = [_relaxed(one) for one in relaxed[key]]
    return relaxed


def _whole(schema: Any) -> Any:
    """Return the schema with references to what is whole."""
    if isinstance(schema, list):
        return [_whole(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: value.replace(_DEFS, _WHOLE) if key == "$ref" else _whole(value) for key, value in schema.items()}


def _referred(schema: Any, defs: dict[str, Any]) -> dict[str, Any]:
    """Return the whole definitions that the schema refers to, and those that they do."""
    found: dict[str, Any] = {}
    while missing := set(re.findall(rf"{re.escape(_WHOLE)}(\w+)", json.dumps([schema, found]))) - {
        name.removeprefix("whole-") for name in found
    }:
        found |= {f"whole-{name}": _whole(defs[name]) for name in sorted(missing)}
    return found


def _nullable(schema: Any) -> Any:
    """Return the schema of a member that may be null; editors show its description."""
    relaxed = _relaxed(schema)
    if not isinstance(relaxed, dict):
        return relaxed
    description = {"description": relaxed["description"]} if "description" in relaxed else {}
    return {**description, "anyOf": [relaxed, {"type": "null"}]}


if __name__ == "__main__":
    print(json.dumps(overlay_schema(json.loads(SPEC.read_text("utf-8"))), indent=2, ensure_ascii=False))
