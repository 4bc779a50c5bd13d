"""Find drift in a plan: what someone else changed since the last apply. Pure.

What the spec says now does not matter. A slot without a machine is drift if it had one: if the pool's anchor remembers
one, or if the platform still reports a destroyed machine with the slot's marks. The anchor counts first: if it says
that the slot was not there, the spec has added it, even if the slot was there earlier and was removed. If no anchor
says so, a machine that this tool destroyed has a mark for that.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from reconciler.canonical.digest import is_digest_of
from reconciler.model import marks
from reconciler.model.change import Action, Cause, Change, ReasonCode
from reconciler.model.machine import Machine
from reconciler.model.plan import IpAllocation, Plan

_NAMED: Final = 20


def only_drift(plan: Plan) -> Plan:
    """Return the plan with only those changes that someone else alone caused.

    It warns of those that it leaves out. Apps that are not there are no drift.
    """
    left = [f"{one.address} ({one.action.value})" for one in plan.effective if not is_drift(one)]
    changes = tuple(_unwatched(one) for one in plan.changes if not one.is_effective or is_drift(one))
    warnings = (*plan.warnings, _leaves(left)) if left else plan.warnings
    return replace(_of_drift(plan, changes), warnings=warnings)


def with_drift(plan: Plan) -> Plan:
    """Return the plan with every change that someone else had a part in.

    Only the fields that someone else changed are left in a change. `not_shown` counts the slots of which something is
    left out.
    """
    settings = [change for change in plan.changes if change.action is Action.SETTINGS]
    found = [(change, _with_drift(change)) for change in plan.changes if change.action is not Action.SETTINGS]
    not_shown = sum(shown is None or len(shown.fields) < len(change.fields) for change, shown in found)
    changes = tuple(shown for _, shown in found if shown)
    warnings = (*plan.warnings, *(_settings_words(change) for change in settings), *_without_run_policy(plan))
    return replace(_of_drift(plan, changes), warnings=warnings, not_shown=not_shown)


def apps_to_look_at(plan: Plan) -> tuple[str, ...]:
    """Return the apps that lack a machine and do not tell whether it ever was."""
    absent = {app.name for app in plan.apps}
    missing = (one.slot.app for one in plan.changes if one.action is Action.CREATE and not one.is_new)
    return tuple(app for app in dict.fromkeys(missing) if app not in absent)


def with_lost(plan: Plan, machines: Iterable[Machine]) -> Plan:
    """Return the plan that knows which missing machines were destroyed.

    Those are among `machines`: gone, and ours. One that this tool destroyed is not lost.
    """
    gone: dict[tuple[str, str], Machine] = {}
    for machine in sorted(machines, key=lambda one: one.updated_at.timestamp() if one.updated_at else 0.0):
        is_ours = marks.is_owned(machine.metadata, stack=plan.stack, name=machine.name)
        if machine.state.is_gone and is_ours:
            gone[machine.app, machine.name] = machine

    def known(change: Change) -> Change:
        machine = gone.get((change.slot.app, change.slot.name))
        if change.action is not Action.CREATE or change.is_new or machine is None:
            return change
        if marks.GONE in machine.metadata:
            return change
        lost = machine.metadata.get(marks.APPLIED) or change.lost or ""
        reason = f"not there any more: it was applied, and destroyed since{_by(machine)}"
        return replace(change, lost=lost, code=ReasonCode.DESTROYED, reason=reason)

    return replace(plan, changes=tuple(known(change) for change in plan.changes))


def is_drift(change: Change) -> bool:
    """Return whether someone else alone caused it: the spec is as it was applied."""
    if change.action is Action.CREATE:
        return _is_of_desired(change.lost, change)
    is_changed = change.action in {Action.UPDATE, Action.REPLACE} and bool(change.fields)
    return is_changed and _is_of_desired(change.expected.applied, change)


def _is_of_desired(applied: str | None, change: Change) -> bool:
    """Return whether what was applied is what the spec declares."""
    return change.desired is not None and is_digest_of(applied, change.desired.config, live=change.observed)


def _lost_ips(plan: Plan) -> tuple[IpAllocation, ...]:
    """Return the declared IP addresses that an app with machines of ours lacks.

    Nothing tells whether it ever had them: an apply would have given them to it.
    """
    return tuple(one for one in plan.allocations if one.machine_id)


def _with_drift(change: Change) -> Change | None:
    """Return the change as far as it is drift; None if the spec alone caused it."""
    if not change.is_effective:
        return _unwatched(change)
    if change.action is Action.CREATE and change.lost is not None:
        return replace(change, depends_on=())
    fields = tuple(field for field in change.fields if field.cause in {Cause.DRIFT, Cause.BOTH})
    return replace(change, fields=fields, depends_on=()) if fields and change.expected.applied else None


def _of_drift(plan: Plan, changes: tuple[Change, ...]) -> Plan:
    """Return the plan with these changes and the lost addresses alone."""
    return replace(
        plan,
        apps=(),
        changes=changes,
        allocations=_lost_ips(plan),
        announcements=(),
        bookkeeping=(),
        deletion_limit=None,
    )


def _unwatched(change: Change) -> Change:
    """Return the change of a slot that is as declared, without the watch.

    Whether a machine stays up is no question of drift.
    """
    return replace(change, action=Action.NONE) if change.action is Action.WATCH else change


def _settings_words(change: Change) -> str:
    """Say that settings are no drift: only marks tell what was applied."""
    names = ", ".join(field.path for field in change.fields)
    return f"{change.slot.app}/{change.slot.pool}: {names}: not as in the spec (`reconciler plan` shows how)"


def _without_run_policy(plan: Plan) -> Iterator[str]:
    """Say which anchors lack the mark of their pool's run policy.

    An apply leaves it on each anchor, so someone has deleted it; but on machines of an early version there was none.
    """
    for write in plan.bookkeeping:
        if marks.TERMS in write.marks and marks.ANCHOR not in write.marks:
            yield (
                f"{write.app}/{write.name}: the mark of its pool's run policy is not there, so who has no spec knows"
                " no timeout and no overrides; `reconciler apply` writes it"
            )


def _leaves(addresses: list[str]) -> str:
    count = len(addresses)
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    what = "1 change of the spec is" if count == 1 else f"{count} changes of the spec are"
    return f"{what} not made: {', '.join(addresses[:_NAMED])}{more}; `reconciler apply` makes them"


def _by(machine: Machine) -> str:
    """Say who destroyed the machine, and when, if its events show it."""
    event = next((event for event in reversed(machine.events) if event.type == "destroy"), None)
    return f" (by {event.source}, {event.at:%Y-%m-%d %H:%M} UTC)" if event else ""
