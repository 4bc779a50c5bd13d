"""Interpolation: `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `$$`, in values, never in keys.

Done on the tree, after the YAML was parsed and before scalars get their types: a value can be a number afterwards, but
never more structure than was written.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from reconciler.spec.findings import Findings
from reconciler.spec.tree import Entry, List, Map, Node, Scalar

_PATTERN: Final = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)([^}]*))?\})")


def interpolate(root: Node, environment: Mapping[str, str], findings: Findings) -> Node:
    """The tree with every variable replaced. A variable that is unset without a default is a finding."""
    return _Interpolation(environment, findings).node(root)


class _Interpolation:
    def __init__(self, environment: Mapping[str, str], findings: Findings) -> None:
        self._environment = environment
        self._findings = findings
        self._done: dict[int, Node] = {}  # aliases share nodes, so each is done once

    def node(self, node: Node) -> Node:
        if id(node) not in self._done:
            self._done[id(node)] = self._replaced(node)
        return self._done[id(node)]

    def _replaced(self, node: Node) -> Node:
        match node:
            case Scalar():
                return self._scalar(node) if "$" in node.text else node
            case List():
                return replace(node, items=tuple(self.node(item) for item in node.items))
            case Map():
                entries = {key: Entry(key=entry.key, value=self.node(entry.value)) for key, entry in node.items()}
                return replace(node, entries=entries)

    def _scalar(self, node: Scalar) -> Scalar:
        text = _PATTERN.sub(lambda found: self._value(found, node), node.text)
        return replace(node, text=text, has_variable="${" in node.text)

    def _value(self, found: re.Match[str], node: Scalar) -> str:
        dollar, name, operator, rest = found.groups()
        if dollar:
            return "$"
        value = self._environment.get(name)
        if value is not None and (value or operator is None):
            return value
        if operator == ":-":
            return str(rest)
        if operator == ":?":
            self._findings.add(node, f"${{{name}}} is not set: {rest or 'it is required'}")
        else:
            hint = f"set it, or give a default: ${{{name}:-value}}; a dollar sign is $$"
            self._findings.add(node, f"${{{name}}} is not set", hint=hint)
        return ""
