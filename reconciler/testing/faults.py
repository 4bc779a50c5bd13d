"""Faults and settings by keyword: what the engine's adversity file says, checked before anything waits for it."""

from typing import Any, Final

from reconciler.engine.faults.config import parse_settings
from reconciler.engine.faults.rule_checks import checked_rule
from reconciler.engine.faults.rules import FaultConfigError, Rule
from reconciler.engine.faults.settings import Settings

_SETTINGS: Final = ("latency", "behaviour", "limits_rates")


def settings_of(options: dict[str, Any]) -> Settings:
    """The engine's settings of these keywords. Raises FaultConfigError, a ValueError that says what there is."""
    for name in options:
        if name not in _SETTINGS:
            raise FaultConfigError(f"unknown setting {name!r}; known: {', '.join(_SETTINGS)}")
    return parse_settings(options)


def rule_of(fault: str, details: dict[str, Any]) -> Rule:
    """The rule of one fault. Raises FaultConfigError, a ValueError that says what there is, or why it never strikes."""
    return checked_rule({"fault": fault, **details}, f"fault({fault!r})")
