"""Faults and settings by keyword: what the engine's adversity file says, checked before anything waits for it."""

from typing import Any, Final

from reconciler.engine.adversity import ENGINE_FAULTS, AdversityError, Rule, parse_rule
from reconciler.engine.app import BEFORE_THE_CALL
from reconciler.engine.behaviour import Settings
from reconciler.engine.rehearsal import parse_settings
from reconciler.engine.routes import ENDPOINTS, LOGS

_SETTINGS: Final = ("latency", "behaviour", "limits_rates")
_CALLS: Final = tuple(dict.fromkeys(endpoint.call for endpoint in (*ENDPOINTS, LOGS)))
_ON_A_MACHINE: Final = {endpoint.call for endpoint in ENDPOINTS if "{machine}" in endpoint.path}
_BESIDE_CALLS: Final = frozenset(ENGINE_FAULTS) - frozenset(BEFORE_THE_CALL)


def settings_of(options: dict[str, Any]) -> Settings:
    """The engine's settings of these keywords. Raises AdversityError, a ValueError that says what there is."""
    for name in options:
        if name not in _SETTINGS:
            raise AdversityError(f"unknown setting {name!r}; known: {', '.join(_SETTINGS)}")
    return parse_settings(options)


def rule_of(fault: str, details: dict[str, Any]) -> Rule:
    """The rule of one fault. Raises AdversityError, a ValueError that says what there is, or why it never strikes."""
    rule = parse_rule({"fault": fault, **details}, f"fault({fault!r})")
    for call in rule.calls:
        if call not in _CALLS:
            raise AdversityError(f"fault({fault!r}).call: unknown call {call!r}; known: {', '.join(_CALLS)}")
    if fault in _BESIDE_CALLS and (rule.calls or rule.request is not None):
        raise AdversityError(f"fault({fault!r}): it strikes at no call; give `app`, `machine` or `image`")
    is_of_machine = (rule.machine, rule.image) != ("*", "*")
    if is_of_machine and rule.calls and not _ON_A_MACHINE.intersection(rule.calls):
        raise AdversityError(f"fault({fault!r}): {', '.join(rule.calls)} names no machine; give `app`, or nothing")
    return rule
