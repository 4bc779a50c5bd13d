"""Check fault rules: one that can never strike is an error."""

from typing import Any, Final

from reconciler.engine.faults.rules import (
    BEFORE_CALL_FAULTS,
    ENGINE_FAULTS,
    NEVER_COMMITTED,
    REPLY_FAULTS,
    FaultConfigError,
    Rule,
    parse_rule,
)
from reconciler.engine.http.routes import ENDPOINTS, WEB, graphql_endpoint

_ENDPOINTS: Final = (*ENDPOINTS, *WEB, graphql_endpoint(tuple))
_CALLS: Final = tuple(dict.fromkeys(endpoint.call for endpoint in _ENDPOINTS))
_ON_A_MACHINE: Final = {endpoint.call for endpoint in _ENDPOINTS if "{machine}" in endpoint.path}
_IN_AN_APP: Final = {endpoint.call for endpoint in _ENDPOINTS if "{app}" in endpoint.path}
_BESIDE_CALLS: Final = frozenset(ENGINE_FAULTS) - frozenset(BEFORE_CALL_FAULTS)
_EMPTIED: Final = "list"


def checked_rules(document: Any) -> list[Rule]:
    """Return the rules of a document.

    Raises FaultConfigError, also where one can never strike.
    """
    if not isinstance(document, list):
        raise FaultConfigError("rules: expected a list")
    return [checked_rule(value, f"rules[{position}]") for position, value in enumerate(document)]


def checked_rule(value: Any, place: str) -> Rule:
    """Return one rule; `place` is where it stands in the document.

    Raises FaultConfigError, as above.
    """
    rule = parse_rule(value, place)
    for call in rule.calls:
        if call not in _CALLS:
            raise FaultConfigError(f"{place}.call: unknown call {call!r}; known: {', '.join(_CALLS)}")
    if why := _why_never(rule):
        raise FaultConfigError(f"{place}: it can never strike: {why}")
    if rule.is_committed and rule.fault in {*REPLY_FAULTS, *ENGINE_FAULTS}:
        done = "nothing is done" if rule.fault in NEVER_COMMITTED else "it is no error reply"
        raise FaultConfigError(f"{place}.committed: {rule.fault} cannot come after the effect: {done}")
    return rule


def _why_never(rule: Rule) -> str | None:
    names = ", ".join(rule.calls)
    if rule.fault in _BESIDE_CALLS and (rule.calls or rule.request is not None):
        return "it strikes at no call; give `app`, `machine` or `image`"
    if rule.request is not None and rule.after:
        return f"request {rule.request} is met once, and `after` lets it pass"
    if not rule.calls:
        return None
    is_of_machine = (rule.machine, rule.image) != ("*", "*")
    if is_of_machine and not _ON_A_MACHINE.intersection(rule.calls):
        return f"{names} names no machine; give `app`, or nothing"
    if rule.fault in BEFORE_CALL_FAULTS and not _ON_A_MACHINE.intersection(rule.calls):
        return f"{rule.fault} needs a call on a machine, and {names} is none"
    if rule.app != "*" and not _IN_AN_APP.intersection(rule.calls):
        return f"{names} names no app"
    if rule.fault == "empty_list" and _EMPTIED not in rule.calls:
        return f"{names} is not answered by a list of machines"
    return None
