"""What of a plan is drift: what someone else changed since it was last applied, whatever the spec says now. Pure."""

from dataclasses import replace

from reconciler.model.plan import Action, Cause, Change, Plan


def only_drift(plan: Plan) -> Plan:
    """The plan with those changes alone whose every cause is someone else. Apps that are not there are no drift."""
    return replace(plan, apps=(), changes=tuple(one if is_drift(one) else _left(one) for one in plan.changes))


def with_drift(plan: Plan) -> Plan:
    """The plan with every change in which someone else had a hand, and of its fields those alone."""
    changes = []
    for change in plan.changes:
        fields = tuple(field for field in change.fields if field.cause in {Cause.DRIFT, Cause.BOTH})
        changes.append(replace(change, fields=fields) if fields and change.expected_applied else _left(change))
    return replace(plan, apps=(), changes=tuple(changes))


def is_drift(change: Change) -> bool:
    """Whether nothing but someone else's hand is behind the change: the spec is as it was applied."""
    is_as_applied = change.expected_applied is not None and change.expected_applied == change.desired_digest
    return change.action in {Action.UPDATE, Action.REPLACE} and is_as_applied and bool(change.fields)


def _left(change: Change) -> Change:
    return replace(change, action=Action.NONE, deferred=None, fields=(), depends_on=())
