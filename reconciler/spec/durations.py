"""Durations of the spec such as `1h30m`, and how long each may be."""

import re
from typing import Final

from reconciler.model.run_policy import LONGEST_S
from reconciler.spec.diagnostics import Findings
from reconciler.spec.yaml_nodes import Map, Scalar

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_STOP_S: Final = 300.0  # the platform waits no longer before it kills
_OF_CHECKS: Final = ("interval", "timeout", "grace_period")


def seconds(text: str) -> float:
    """Return the seconds of a duration such as `1h30m`."""
    return sum(float(number) * _UNITS_S[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text))


def is_too_long(node: Scalar, name: str, findings: Findings) -> bool:
    """Return whether the duration is over a hundred years; that is a finding."""
    if seconds(node.text) <= LONGEST_S:
        return False
    message = f"`{name}` can be at most {LONGEST_S // 3600}h, a hundred years"
    findings.add(node, message, hint="write a shorter one, such as 24h")
    return True


def check_stop(stop: Map, findings: Findings) -> None:
    """Find a `stop.timeout` that the platform does not keep."""
    timeout = stop.get("timeout")
    if isinstance(timeout, Scalar) and seconds(timeout.text) > _LONGEST_STOP_S:
        hint = "the platform kills a command that takes longer to end"
        findings.add(timeout, "`stop.timeout` can be at most 5m", hint=hint)


def check_check(check: Map, findings: Findings) -> None:
    """Find the durations of a check that are too long."""
    for name in _OF_CHECKS:
        if isinstance(duration := check.get(name), Scalar):
            is_too_long(duration, name, findings)
