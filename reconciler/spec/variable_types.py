"""Give values of variables the type that their place asks for.

A value in quotes is text to YAML, and inside { } and [ ] a variable must be in quotes. So `count: "${N:-1}"` is a
number all the same, and a name that is only digits is text without quotes too. What is written without a variable keeps
the type that it has in YAML.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from reconciler.spec.shape import fits, resolved
from reconciler.spec.yaml_nodes import Entry, List, Map, Node, Scalar

_Schema = Mapping[str, Any]


def with_fitting_types(root: Node, schema: _Schema) -> Node:
    """Return the tree, in which each value of variables fits its place if it can."""
    return _Fitting(schema).node(root, (schema,))


class _Fitting:
    def __init__(self, schema: _Schema) -> None:
        self._schema = schema

    def node(self, node: Node, schemas: Sequence[Any]) -> Node:
        match node:
            case Scalar():
                return self._scalar(node, schemas) if node.variables else node
            case List():
                inner = [one for schema in self._all(schemas) if (one := schema.get("items")) is not None]
                return replace(node, items=tuple(self.node(item, inner) for item in node.items))
            case Map():
                return replace(node, entries={key: self._entry(entry, schemas) for key, entry in node.items()})

    def _entry(self, entry: Entry, schemas: Sequence[Any]) -> Entry:
        key = entry.key.text
        inner = [one for schema in self._all(schemas) for one in _members(schema, key)]
        return Entry(key=entry.key, value=self.node(entry.value, inner))

    def _scalar(self, node: Scalar, schemas: Sequence[Any]) -> Scalar:
        other = replace(node, is_plain=not node.is_plain)
        return node if self._has_place(node, schemas) or not self._has_place(other, schemas) else other

    def _has_place(self, node: Scalar, schemas: Sequence[Any]) -> bool:
        return any(fits(node.value, schema, self._schema) for schema in schemas)

    def _all(self, schemas: Sequence[Any]) -> Iterator[_Schema]:
        """Yield the schemas and those that they are made of."""
        for schema in schemas:
            if not isinstance(schema, Mapping):
                continue
            yield schema
            made_of = [*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
            if "$ref" in schema:
                made_of.append(resolved(schema["$ref"], self._schema))
            yield from self._all(made_of)


def _members(schema: _Schema, key: str) -> Iterator[Any]:
    """Yield what a schema asks of the member of this name."""
    if key in schema.get("properties", {}):
        yield schema["properties"][key]
        return
    patterns = [one for pattern, one in schema.get("patternProperties", {}).items() if re.search(pattern, key)]
    yield from patterns
    if not patterns and isinstance(schema.get("additionalProperties"), Mapping):
        yield schema["additionalProperties"]
