"""Read a pool's policies: a task's run policy, and how a service is rolled out.

A run policy is `timeout`, `overrides` and what `schedule` needs; `rollout` is how machines are watched after a change.
"""

from typing import Final

from reconciler.model.run_policy import MAX_LENGTH, RunPolicy
from reconciler.model.spec import PoolKind, Rollout
from reconciler.spec.config import command_words
from reconciler.spec.diagnostics import Findings
from reconciler.spec.durations import is_too_long, seconds
from reconciler.spec.yaml_nodes import List, Map, Node, Scalar

_ONLY_TASKS: Final = {
    "timeout": "a service has no runs, so no `timeout`",
    "overrides": "a service has no runs, so no `overrides`",
    "schedule": "a service runs all the time, so it has no `schedule`",
}
_LONGEST_WATCH_S: Final = 300.0  # an apply waits no longer than this for one machine


def build_run_policy(node: Map, own: Map, kind: PoolKind, findings: Findings) -> RunPolicy:
    """Return the run policy of a pool; its merged fields are `node`, its own `own`."""
    if kind is PoolKind.SERVICE:
        for field, why in _ONLY_TASKS.items():
            if field in own.entries:
                findings.add(own.entries[field].key, why, hint="declare it as a task")
        return RunPolicy()
    _check_schedule(node, findings)
    overrides = node.get("overrides")
    has_args = isinstance(overrides, Map) and _is_true(overrides.get("args"))
    names = overrides.get("env") if isinstance(overrides, Map) else None
    policy = RunPolicy(
        timeout_s=_timeout(node, findings),
        args_after=command_words(node.get("command"), findings) if has_args else None,
        env=frozenset(item.text for item in names.items if isinstance(item, Scalar))
        if isinstance(names, List)
        else frozenset(),
    )
    if has_args and "processes" in node.entries:
        hint = "which process would get the args? declare a task with a `command` for it"
        findings.add(node.entries["overrides"].key, "`overrides.args` and `processes` exclude each other", hint=hint)
    if len(policy.to_text()) > MAX_LENGTH:
        message = f"the names in `overrides.env` are longer than {MAX_LENGTH} bytes"
        findings.add(node.entries["overrides"].key, message, hint="name fewer of them; they are kept on each machine")
    return policy


def _timeout(node: Map, findings: Findings) -> float | None:
    timeout = node.get("timeout")
    if not isinstance(timeout, Scalar) or not timeout.text:
        return None
    timeout_s = seconds(timeout.text)
    if timeout_s == 0:
        findings.add(timeout, "`timeout` must be longer than nothing", hint="leave it out for none")
    return None if is_too_long(timeout, "timeout", findings) else timeout_s


def _check_schedule(node: Map, findings: Findings) -> None:
    """Check that scheduled machines start when they are made.

    The platform schedules no others.
    """
    schedule = node.entries.get("schedule")
    if schedule is None:
        return
    if not _is_true(node.get("launch")):
        hint = "add `launch: true`: the platform runs the command once at once, then by the schedule"
        findings.add(schedule.key, "`schedule` needs `launch: true`", hint=hint)
    if "overrides" in node.entries:
        hint = "declare another task for runs with args or variables of their own"
        findings.add(node.entries["overrides"].key, "`overrides` and `schedule` exclude each other", hint=hint)


def _is_true(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.value is True


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
    if min_healthy_s > _LONGEST_WATCH_S:
        findings.add(min_healthy, "`min_healthy` can be at most 5m", hint="an apply waits no longer for one machine")
    return Rollout(min_healthy_s=min_healthy_s)
