"""Fill in `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `$$` in values.

The variables of the tool's own tokens are taken only where every output masks the value. This is done on the tree,
after the YAML was parsed and before scalars get their types: a value can become a number, but never more structure than
was written.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from msgspec.structs import replace

from reconciler.model.concealment import is_token_variable
from reconciler.model.spec import ENVIRONMENT
from reconciler.model.unicode import is_utf8
from reconciler.spec.diagnostics import Findings
from reconciler.spec.yaml_nodes import Entry, List, Map, Node, Scalar

_PATTERN: Final = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)([^}]*))?\})")
_MOST_CHARACTERS: Final = 64 * 1024 * 1024  # of all values together


_Places: TypeAlias = "Mapping[str, _Places] | None"  # by key; None where the value is masked in every output

_ANY: Final = "*"
_POOL: Final[Mapping[str, _Places]] = {
    "env": None,
    "secrets": None,
    "files": {_ANY: {"content": None, "content_base64": None}},
    "processes": {_ANY: {"env": None}},
}
_POOLS: Final[Mapping[str, _Places]] = {_ANY: _POOL}
_ROOT: Final[Mapping[str, _Places]] = {
    "defaults": _POOL,
    "apps": {_ANY: {**_POOL, "tasks": _POOLS, "services": _POOLS}},
}
_SHOWN: Final[Mapping[str, _Places]] = {}  # a place below which every value is shown


def interpolate(root: Node, environment: Mapping[str, str], findings: Findings) -> tuple[Node, frozenset[str]]:
    """Return the tree with every variable replaced, and the names of the variables.

    A variable that is unset without a default is a finding.
    """
    interpolation = _Interpolation(environment, findings)
    return interpolation.node(root, _ROOT), frozenset(interpolation.names)


class _Interpolation:
    def __init__(self, environment: Mapping[str, str], findings: Findings) -> None:
        self._environment = environment
        self._findings = findings
        self.names: set[str] = set()
        self._length = 0
        self._done: dict[tuple[int, int], Node] = {}  # aliases share nodes, so each is done once for each kind of place

    def node(self, node: Node, place: _Places) -> Node:
        key = (id(node), id(place))
        if key not in self._done:
            self._done[key] = self._replaced(node, place)
        return self._done[key]

    def _replaced(self, node: Node, place: _Places) -> Node:
        match node:
            case Scalar():
                return self._scalar(node, is_shown=place is not None) if "$" in node.text else node
            case List():
                return replace(node, items=tuple(self.node(item, _below(place, _ANY)) for item in node.items))
            case Map():
                entries = {
                    key: Entry(key=entry.key, value=self.node(entry.value, _below(place, key)))
                    for key, entry in node.items()
                }
                return replace(node, entries=entries)

    def _scalar(self, node: Scalar, *, is_shown: bool) -> Scalar:
        # No variable ends behind the last brace: each `${A:-` that is open there would be followed to the text's end.
        length = node.text.rfind("}") + 1
        before, after = (node.text[:length], node.text[length:]) if "${" in node.text else (node.text, "")
        names: dict[str, None] = {}

        def value(found: re.Match[str]) -> str:
            if found[2]:
                names[found[2]] = None
            return self._value(found, node, is_shown=is_shown)

        text = _PATTERN.sub(value, before) + after.replace("$$", "$")
        return replace(node, text=text, variables=tuple(names))

    def _value(self, found: re.Match[str], node: Scalar, *, is_shown: bool) -> str:
        dollar, name, operator, rest = found.groups()
        if dollar:
            return "$"
        self.names.add(name)
        if is_shown and is_token_variable(name):
            hint = "use it in `env` or in the `content` of a file: values are masked there"
            self._findings.add(node, f"${{{name}}} is a token, and this value is shown in plans", hint=hint)
            return ""
        value = self._environment.get(name)
        self._length += len(value or "")
        if self._length > _MOST_CHARACTERS:
            hint = "use a large variable less often"
            self._findings.add(node, f"variables make the spec larger than {_MOST_CHARACTERS // 2**20} MiB", hint=hint)
            return ""
        if value is not None and not is_utf8(value):
            self._findings.add(node, f"the value of ${{{name}}} is not UTF-8 text", hint=f"set {name} to text")
            return ""
        if value is not None and (value or operator is None):
            return value
        if operator == ":-":
            return str(rest)
        given = "pass --environment ENV" if name == ENVIRONMENT else f"set it: `export {name}=…`"
        if operator == ":?":
            why = f"${{{name}}} is not set: {rest or 'it is required'}"
            self._findings.add_unset(name, node, why, hint=given)
        else:
            hint = f"{given}, or write a default: ${{{name}:-value}}; if no variable is meant, write $${{{name}}}"
            self._findings.add_unset(name, node, f"${{{name}}} is not set", hint=hint)
        return ""


def _below(place: _Places, key: str) -> _Places:
    """Return the place of a member; what is below a masked one is masked."""
    if place is None:
        return None
    return place.get(key, place.get(_ANY, _SHOWN))
