"""Say in words where a spec has not the shape of its JSON Schema."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator
from msgspec.structs import replace

from reconciler.canonical.sections import SECRET_KEYS
from reconciler.spec.diagnostics import Findings
from reconciler.spec.near_names import BOOLEANS, EXAMPLES, hint_for_collection, hint_for_value, nearest, slug_of
from reconciler.spec.refused_keys import hint_for_unknown
from reconciler.spec.regions import hint_for_region
from reconciler.spec.schema import spec_schema
from reconciler.spec.shape import fits, properties_of
from reconciler.spec.yaml_nodes import List, Map, Node, Scalar

_REGION: Final = "^[a-z]{3}$"
_WORDS: Final = {
    "object": "a map",
    "array": "a list",
    "string": "a string",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "null": "nothing",
}


def explain_shape(value: Any, root: Node, findings: Findings) -> None:
    """Add each deviation from the schema to the findings.

    `value` is the plain value of the tree.
    """
    for error in Draft202012Validator(spec_schema()).iter_errors(value):
        _explain(error, root, findings)


def _explain(error: Any, root: Node, findings: Findings) -> None:
    path = list(error.absolute_path)
    node, key = _at(root, path)
    if error.validator in {"anyOf", "oneOf"}:
        branch = _meant_branch(error)
        if branch:
            for inner in branch:
                _explain(inner, root, findings)
            return
    if error.validator in {"additionalProperties", "unevaluatedProperties"} and isinstance(node, Map):
        _explain_unknown_keys(error, node, path, findings)
    elif error.validator == "required" and isinstance(node, Map):
        _explain_missing_keys(error, node, path, findings)
    elif error.validator == "propertyNames" or "propertyNames" in error.absolute_schema_path:
        _explain_key(error, node, findings)
    else:
        at = key if key and not isinstance(node, Scalar) and node.line > key.line else node
        message = f"{_named(path)}: expected {_expected(error)}, found {_found(node, path)}"
        findings.add(at, message, hint=_hint_for_value(error, node, path))


def _hint_for_value(error: Any, node: Node, path: list[Any]) -> str | None:
    """Return what to write instead of a value; None if that is not known."""
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if not isinstance(node, Scalar):
        return hint_for_collection(key, node, is_whole=bool(path) and path[-1] == key)
    schema = spec_schema()
    if key in EXAMPLES and path[-1] == key and not fits("", error.schema, schema):
        return EXAMPLES[key]
    if "files" in path or not SECRET_KEYS.isdisjoint(path) or node.variables:
        return None
    if error.validator == "type" and error.validator_value == "boolean" and (meant := BOOLEANS.get(node.text.lower())):
        return f"did you mean `{key}: {meant}`?"
    if node.value is None and fits({}, error.schema, schema):
        return f"write what it has, such as `{key}: {{command: [run]}}`, or `{key}: {{}}`"
    if not node.is_plain and fits(replace(node, is_plain=True).value, error.schema, schema):
        return f"without quotes it is one: `{key}: {node.text}`"
    if node.is_plain and node.value is not None and fits(node.text, error.schema, schema):
        return f'put it in quotes: `{key}: "{node.text}"`'
    if node.value is not None and fits([node.value], error.schema, schema):
        return f"write it as a list: `{key}: [{node.text}]`"
    if key in {"name", "org"} and fits(slug := slug_of(node.text), error.schema, schema):
        return f"did you mean `{slug}`?"
    if (hint := hint_for_value(key, node.value, _choices(error))) or "regions" not in path:
        return hint
    return hint_for_region(node.text)


def _choices(error: Any) -> list[Any]:
    """Return the few words that the value could be."""
    if error.validator == "enum":
        return list(error.validator_value)
    return [word for one in error.context or () if one.validator == "enum" for word in one.validator_value]


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


def _explain_missing_keys(error: Any, node: Map, path: list[Any], findings: Findings) -> None:
    """Add one finding for the keys that a map needs.

    None for a key that is there in another spelling: that is a finding of its own.
    """
    properties = error.schema.get("properties", {})
    missing = [key for key in error.validator_value if key not in node.entries]
    others = [key for key in node.entries if key not in properties]
    missing = [key for key in missing if not any(nearest(other, properties) == key for other in others)]
    if not missing or error.instance is None:
        return
    names = " and ".join(filter(None, (", ".join(f"`{key}`" for key in missing[:-1]), f"`{missing[-1]}`")))
    told = [f"`{key}: {_example(properties.get(key, {}))}`" for key in missing]
    hint = f"add {', '.join(told)}" if len(missing) > 1 else f"add {told[0]}{_described(properties[missing[0]])}"
    findings.add(node, f"{_named(path)} needs {names}", hint=hint)


def _example(schema: Any) -> str:
    if "const" in schema:
        return str(schema["const"])
    examples = schema.get("examples")
    example = examples[0] if examples else "…"
    return example if isinstance(example, str) else json.dumps(example)


def _described(schema: Any) -> str:
    text = str(schema.get("description", "")).split(". ")[0].rstrip(".")
    return f": {text[:1].lower()}{text[1:]}" if text else ""


def _explain_unknown_keys(error: Any, node: Map, path: list[Any], findings: Findings) -> None:
    known = list(properties_of(error.schema, spec_schema()))
    patterns = list(error.schema.get("patternProperties", {}))
    for key, entry in node.items():
        if key not in known and not any(_matches(pattern, key) for pattern in patterns):
            hint = hint_for_unknown(key, known, path)
            if other := key[: len(key) - len(key.lstrip())]:
                hint = f"it begins with U+{ord(other[0]):04X}: YAML is indented with plain spaces; type them anew"
            findings.add_unknown(entry, f"unknown key `{key}`", hint=hint)


def _matches(pattern: str, key: str) -> bool:
    return re.search(pattern, key) is not None


def _explain_key(error: Any, node: Node, findings: Findings) -> None:
    key = error.instance
    at: Node = node.entries[key].key if isinstance(node, Map) and key in node.entries else node
    findings.add(at, f"the name {key!r} is not allowed here: expected {_expected(error)}", hint=_hint_for_key(error))


def _hint_for_key(error: Any) -> str | None:
    key = error.instance
    if "${" in key:
        return "variables are replaced in values alone: write a plain label, and the variable in its `name`"
    pattern, slug = error.schema.get("pattern", ""), slug_of(key)
    is_label = "_" not in pattern and slug != key and _matches(pattern, slug)
    return f"did you mean `{slug}`?" if is_label else hint_for_region(key) if pattern == _REGION else None


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
    described = str(schema.get("description", "something else")).split(". ")[0].rstrip(".")
    return described[:1].lower() + described[1:]


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
        return "the value of " + " and ".join(f"${{{name}}}" for name in node.variables)
    return repr(node.text if len(node.text) <= 60 else node.text[:59] + "…")


def _named(path: list[Any]) -> str:
    keys = [part for part in path if isinstance(part, str)]
    return f"`{keys[-1]}`" if keys else "the spec"


def _at(root: Node, path: list[Any]) -> tuple[Node, Scalar | None]:
    """Return the node at the path, and the key that it is the value of."""
    node, key = root, None
    for part in path:
        found, key = _child(node, part)
        if found is None:
            return node, None
        node = found
    return node, key


def _child(node: Node, part: Any) -> tuple[Node | None, Scalar | None]:
    if isinstance(node, Map) and (entry := node.entries.get(part)):
        return entry.value, entry.key
    if isinstance(node, List) and isinstance(part, int) and part < len(node.items):
        return node.items[part], None
    return None, None
