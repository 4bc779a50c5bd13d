"""Decide what is left of a plan after another apply was first. Pure.

Only what was planned for the same slots counts. The slots that others have brought to what is declared are done. One
that someone changed by hand since it was planned is not followed up, and nothing is destroyed, replaced or run that was
not planned so.
"""

from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from reconciler.model.change import Action, Cause, Change
from reconciler.model.plan import Plan
from reconciler.model.report import Entry, Reason, Report, Status

_FINE: Final = frozenset({Status.DONE, Status.DEFERRED})
_BY_HAND: Final = frozenset({Cause.DRIFT, Cause.BOTH})
_NOT_OURS: Final = "no longer the machine that was to be destroyed, or it cannot be observed; left alone, plan again"
_HARMLESS: Final = frozenset({Action.CREATE, Action.UPDATE, Action.START})


def overtaken(report: Report) -> tuple[Entry, ...]:
    """Return the changes that are to be planned again; none if anything else failed."""
    undone = tuple(ended for ended in report.entries if ended.status not in _FINE)
    is_all = all(ended.reason is Reason.OVERTAKEN for ended in undone) and not report.interrupted
    is_all = is_all and all(ended.status is Status.DONE for ended in report.allocations)
    return undone if is_all else ()


def done_by_others(again: Plan, report: Report) -> tuple[Entry, ...]:
    """Return the ends of changes that the new plan no longer needs.

    They are done, unless a machine that was to be destroyed is still there: it has lost its marks, or was renamed.
    """
    planned = {change.address: change for change in report.plan.changes}
    now = {change.address: change for change in again.changes}
    going = {
        one.address: one.machine_id
        for one in report.plan.changes
        if one.action is Action.DESTROY and one.machine_id and not one.is_duplicate
    }
    there = {change.machine_id for change in again.changes if change.machine_id and not change.is_alone}
    there |= {machine.id for machine in again.foreign} | {machine.id for machine in again.unreachable}
    ended = []
    for one in report.entries:
        if one.status is Status.DONE or not _is_as_declared(planned.get(one.address), now.get(one.address)):
            continue
        is_left = going.get(one.address) in there
        if is_left:
            ended.append(replace(one, status=Status.FAILED, detail=_NOT_OURS, reason=None))
        else:
            ended.append(replace(one, status=Status.DONE, detail="another apply had done it", reason=None))
    return tuple(ended)


def follow_up(
    again: Plan, report: Report, undone: Iterable[Entry], may_do: Callable[[Plan], Plan], *, is_reviewed: bool = False
) -> tuple[Plan, tuple[Entry, ...]]:
    """Return what is to be done about the undone slots, and the ends of the others.

    `may_do` leaves of a plan what was approved. If the plan `is_reviewed`, that alone decides.
    """
    planned = {change.address: change for change in report.plan.changes}
    allowed = may_do(again)
    approved = {change.address: change for change in (*allowed.effective, *allowed.watched)}
    done = done_by_others(again, report)
    left, refused = [], []
    for one in undone:
        change = approved.get(one.address)
        if change and (is_reviewed or _is_what_was_planned(change, planned[one.address])):
            left.append(change)
        elif one.address not in {ended.address for ended in done}:
            refused.append(replace(one, detail=f"{one.detail}; plan again", reason=None))
    apps = tuple(app for app in again.apps if app in report.plan.apps)
    return replace(again, apps=apps, changes=tuple(left), allocations=()), (*done, *refused)


def _is_as_declared(before: Change | None, now: Change | None) -> bool:
    if now is None:
        return before is not None and before.action in {Action.DESTROY, Action.SETTINGS}
    return now.action is Action.NONE


def _is_what_was_planned(change: Change, before: Change) -> bool:
    if change.action is Action.WATCH or change.binding == before.binding:
        return True
    is_no_apply = change.machine_id == before.machine_id and change.expected.applied == before.expected.applied
    is_by_hand = is_no_apply or any(field.cause in _BY_HAND for field in change.fields)
    is_more = change.runs_at_once and not before.runs_at_once
    return change.action in _HARMLESS and not is_by_hand and not is_more
