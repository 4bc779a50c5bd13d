"""Check the shape of a spec by its JSON Schema: what is wrong, where, in words."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from reconciler.canonical.sections import SECRET_KEYS
from reconciler.spec.diagnostics import Findings
from reconciler.spec.refused_keys import hint_for_unknown
from reconciler.spec.shape import fits, properties_of
from reconciler.spec.yaml_nodes import List, Map, Node, plain_value

_WORDS: Final = {
    "object": "a map",
    "array": "a list",
    "string": "a string",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "null": "nothing",
}


@cache
def spec_schema() -> dict[str, Any]:
    """Return the spec's JSON Schema: from the wheel, or from the top of a checkout."""
    package = Path(__file__).parent.parent
    packaged = package / "schemas" / "spec.schema.json"
    found = packaged if packaged.is_file() else package.parent / "schemas" / "spec.schema.json"
    schema: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
    return schema


def check_shape(root: Node, findings: Findings) -> bool:
    """Return whether the tree has the schema's shape; every deviation is a finding."""
    schema = spec_schema()
    value = plain_value(root)
    if fits(value, schema, schema):
        return True
    from jsonschema import Draft202012Validator

    before = len(findings.found)
    for error in Draft202012Validator(schema).iter_errors(value):
        _explain(error, root, findings)
    return len(findings.found) == before


def _explain(error: Any, root: Node, findings: Findings) -> None:
    path = list(error.absolute_path)
    node = _at(root, path)
    if error.validator in {"anyOf", "oneOf"}:
        branch = _meant_branch(error)
        if branch:
            for inner in branch:
                _explain(inner, root, findings)
            return
    if error.validator in {"additionalProperties", "unevaluatedProperties"} and isinstance(node, Map):
        _explain_unknown_keys(error, node, path, findings)
        return
    if error.validator == "required" and isinstance(node, Map):
        missing = [key for key in error.validator_value if key not in node.entries]
        for key in missing:
            what = error.schema.get("properties", {}).get(key, {}).get("description", "")
            findings.add(node, f"{_named(path)} needs `{key}`", hint=what.split(". ")[0] or None)
        return
    if error.validator == "propertyNames" or "propertyNames" in error.absolute_schema_path:
        _explain_key(error, node, findings)
        return
    hint = _near(error.instance, error.validator_value) if error.validator == "enum" else None
    findings.add(node, f"{_named(path)}: expected {_expected(error)}, found {_found(node, path)}", hint=hint)


def _near(word: Any, words: list[Any]) -> str | None:
    """Return the word that was probably meant; None if none is like it."""
    import difflib

    known = [one for one in words if isinstance(one, str)]
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6) if isinstance(word, str) else []
    return f"did you mean {near[0]}?" if near else None


def _meant_branch(error: Any) -> list[Any] | None:
    """Return the errors of the alternative that has the value's own type."""
    branches: dict[int, list[Any]] = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    meant = [
        inners
        for inners in branches.values()
        if isinstance(error.instance, dict | list)
        and not any(i.validator in {"type", "enum"} and not i.path for i in inners)
    ]
    return meant[0] if len(meant) == 1 else None


def _explain_unknown_keys(error: Any, node: Map, path: list[Any], findings: Findings) -> None:
    known = list(properties_of(error.schema, spec_schema()))
    patterns = list(error.schema.get("patternProperties", {}))
    for key, entry in node.items():
        if key not in known and not any(_matches(pattern, key) for pattern in patterns):
            findings.add_unknown(entry, f"unknown key `{key}`", hint=hint_for_unknown(key, known, path))


def _matches(pattern: str, key: str) -> bool:
    return re.search(pattern, key) is not None


def _explain_key(error: Any, node: Node, findings: Findings) -> None:
    key = error.instance
    at: Node = node.entries[key].key if isinstance(node, Map) and key in node.entries else node
    findings.add(at, f"the name {key!r} is not allowed here: expected {_expected(error)}")


def _expected(error: Any) -> str:
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    if "x-expected" in schema:
        return str(schema["x-expected"])
    match error.validator:
        case "enum":
            return "one of " + ", ".join(str(one) for one in error.validator_value)
        case "const":
            return str(error.validator_value)
        case "minimum":
            return f"at least {error.validator_value}"
        case "maximum":
            return f"at most {error.validator_value}"
        case "minItems" | "minProperties" | "minLength":
            return "something in it"
        case "type":
            types = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
            return " or ".join(_WORDS[name] for name in types)
    return str(schema.get("description", "something else")).split(". ")[0]


def _found(node: Node, path: list[Any]) -> str:
    if isinstance(node, Map):
        return "a map"
    if isinstance(node, List):
        return "a list" if node.items else "an empty list"
    if node.is_plain and node.value is None:
        return "nothing"
    if "files" in path or not SECRET_KEYS.isdisjoint(path):
        return "another value"  # it may be a secret
    if node.variables:
        return "another value, of a variable"
    return repr(node.text if len(node.text) <= 60 else node.text[:59] + "…")


def _named(path: list[Any]) -> str:
    keys = [part for part in path if isinstance(part, str)]
    return f"`{keys[-1]}`" if keys else "the spec"


def _at(root: Node, path: list[Any]) -> Node:
    node = root
    for part in path:
        found = _child(node, part)
        if found is None:
            return node
        node = found
    return node


def _child(node: Node, part: Any) -> Node | None:
    if isinstance(node, Map):
        return node.get(part)
    if isinstance(node, List) and isinstance(part, int) and part < len(node.items):
        return node.items[part]
    return None
