"""Read a service's `rollout`: how its machines are watched after a change."""

from typing import Final

from reconciler.model.spec import PoolKind, Rollout
from reconciler.spec.diagnostics import Findings
from reconciler.spec.durations import seconds
from reconciler.spec.yaml_nodes import Map, Scalar

_LONGEST_S: Final = 300.0  # an apply waits no longer than this for one machine


def build_rollout(node: Map, own: Map, kind: PoolKind, findings: Findings) -> Rollout:
    """Return the rollout of a pool; its merged fields are `node`, its own `own`."""
    if kind is PoolKind.TASK:
        if "rollout" in own.entries:
            why = "a task rests until it is invoked, so it has no `rollout`"
            findings.add(own.entries["rollout"].key, why, hint="declare it as a service")
        return Rollout()
    rollout = node.get("rollout")
    min_healthy = rollout.get("min_healthy") if isinstance(rollout, Map) else None
    if not isinstance(min_healthy, Scalar):
        return Rollout()
    min_healthy_s = seconds(min_healthy.text)
    if min_healthy_s > _LONGEST_S:
        findings.add(min_healthy, "`min_healthy` can be at most 5m", hint="an apply waits no longer for one machine")
    return Rollout(min_healthy_s=min_healthy_s)
