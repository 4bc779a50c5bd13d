"""Refuse fields of the format that do not work yet, instead of ignoring them."""

from typing import Final

from reconciler.canonical.sections import FIELDS
from reconciler.spec.diagnostics import Findings
from reconciler.spec.yaml_nodes import Map, Node

# A member leaves this table when it works; whole fields are in canonical/sections.py.
_ROLLOUT: Final = {
    "strategy": "the machines of a service are changed one at a time",
    "max_unavailable": "the machines of a service are changed one at a time",
    "deadline": "a changed machine has five minutes until its checks pass",
    "drain": "a machine is stopped with the signal and the timeout of `stop`",
    "on_failure": "an apply stops at the first machine that does not stay up",
    "keep": "a machine is changed in place",
}


def refuse_unsupported(root: Map, findings: Findings) -> None:
    """Add a finding for each use of such a field, in the defaults, an app or a pool."""
    _refuse(root.get("defaults"), findings)
    for app in _members(root.get("apps")):
        _refuse(app, findings)
        for kind in ("tasks", "services"):
            for pool in _members(app.get(kind)):
                _refuse(pool, findings)


def _refuse(node: Node | None, findings: Findings) -> None:
    if not isinstance(node, Map):
        return
    for field in FIELDS:
        if field.unsupported and field.name in node.entries:
            findings.add(node.entries[field.name].key, f"`{field.name}` is not supported yet", hint=field.unsupported)
    rollout = node.get("rollout")
    if not isinstance(rollout, Map):
        return
    for key, hint in _ROLLOUT.items():
        if key in rollout.entries:
            findings.add(rollout.entries[key].key, f"`rollout.{key}` is not supported yet", hint=hint)


def _members(node: Node | None) -> list[Map]:
    if not isinstance(node, Map):
        return []
    return [entry.value for _, entry in node.items() if isinstance(entry.value, Map)]
