"""Check whether a value fits the spec's JSON Schema: yes or no, fast.

jsonschema explains what is wrong, but takes longer to import than an invoke may take to start. So the same schema is
checked here first, for the keywords that it uses, and by jsonschema only for specs that do not fit.
"""

import re
from collections.abc import Mapping, Set
from typing import Any, Final

from msgspec import Struct, field

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
_ANNOTATIONS: Final = frozenset(
    {"$schema", "$id", "$defs", "title", "description", "default", "examples", "x-expected", "markdownDescription"}
)


class UnknownKeywordError(ValueError):
    """The schema uses a keyword that is not known here."""


class _Root(Struct, frozen=True):
    """The whole schema. Remembers what references name, and which keys objects have."""

    schema: Mapping[str, Any]
    resolved: dict[str, Any] = field(default_factory=dict)
    known: dict[int, Set[str]] = field(default_factory=dict)

    def at(self, reference: str) -> Any:
        if reference not in self.resolved:
            self.resolved[reference] = resolved(reference, self.schema)
        return self.resolved[reference]

    def keys_of(self, schema: Mapping[str, Any]) -> Set[str]:
        if id(schema) not in self.known:
            self.known[id(schema)] = properties_of(schema, self.schema).keys()
        return self.known[id(schema)]


def fits(value: Any, schema: Any, root: Mapping[str, Any]) -> bool:
    """Return whether the value fits the schema.

    Raises UnknownKeywordError for a keyword that is not known here.
    """
    return _fits(value, schema, _Root(root))


def _fits(value: Any, schema: Any, root: _Root) -> bool:
    if isinstance(schema, bool):
        return schema
    return all(_holds(keyword, value, schema, root) for keyword in schema if keyword not in _ANNOTATIONS)


def properties_of(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object's properties, after those it has by `allOf` or `$ref`."""
    if "$ref" in schema:
        return properties_of(resolved(schema["$ref"], root), root)
    found: dict[str, Any] = {}
    for one in schema.get("allOf", ()):
        found |= properties_of(one, root)
    found |= schema.get("properties", {})
    return found


def _holds(keyword: str, value: Any, schema: Mapping[str, Any], root: _Root) -> bool:
    argument = schema[keyword]
    match keyword:
        case "$ref":
            return _fits(value, root.at(argument), root)
        case "type":
            return any(_is_type(value, name) for name in ([argument] if isinstance(argument, str) else argument))
        case "enum":
            return any(value == one and type(value) is type(one) for one in argument)
        case "const":
            return bool(value == argument) and isinstance(value, bool) == isinstance(argument, bool)
        case "allOf":
            return all(_fits(value, one, root) for one in argument)
        case "anyOf":
            return any(_fits(value, one, root) for one in argument)
        case "oneOf":
            return sum(_fits(value, one, root) for one in argument) == 1
        case "properties" | "patternProperties" | "additionalProperties" | "required" | "minProperties":
            return not isinstance(value, dict) or _holds_for_object(keyword, value, schema, root)
        case "unevaluatedProperties" if argument is False:
            return not isinstance(value, dict) or value.keys() <= root.keys_of(schema)
        case "propertyNames":
            return not isinstance(value, dict) or all(_fits(key, argument, root) for key in value)
        case "items":
            return not isinstance(value, list) or all(_fits(item, argument, root) for item in value)
        case "minItems":
            return not isinstance(value, list) or len(value) >= argument
        case "minimum" | "maximum":
            return not _is_type(value, "number") or (value >= argument if keyword == "minimum" else value <= argument)
        case "pattern":
            return not isinstance(value, str) or re.search(argument, value) is not None
        case "minLength" | "maxLength":
            return not isinstance(value, str) or (
                len(value) >= argument if keyword == "minLength" else len(value) <= argument
            )
    raise UnknownKeywordError(keyword)


def _holds_for_object(keyword: str, value: Mapping[str, Any], schema: Mapping[str, Any], root: _Root) -> bool:
    argument = schema[keyword]
    patterns: Mapping[str, Any] = schema.get("patternProperties", {})
    match keyword:
        case "required":
            return all(key in value for key in argument)
        case "minProperties":
            return len(value) >= int(argument)
        case "properties":
            return all(_fits(member, argument[key], root) for key, member in value.items() if key in argument)
        case "patternProperties":
            return all(
                _fits(member, one, root)
                for key, member in value.items()
                for pattern, one in argument.items()
                if re.search(pattern, key)
            )
    known = schema.get("properties", {})
    others = [
        member
        for key, member in value.items()
        if key not in known and not any(re.search(pattern, key) for pattern in patterns)
    ]
    return all(_fits(member, argument, root) for member in others)


def _is_type(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def resolved(reference: str, root: Mapping[str, Any]) -> Any:
    """Return what a reference inside the schema names."""
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found
