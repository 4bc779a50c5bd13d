"""Prove that an imported spec takes its machines over as they are. Pure.

The spec is planned against the very machines that it was made of. Nothing but adoptions that write marks alone may be
in that plan, and nothing in the plan after them.
"""

from collections.abc import Collection, Iterator
from typing import Final

from msgspec.structs import replace

from reconciler.model.change import Action, Change
from reconciler.model.machine import Machine, Observed
from reconciler.model.plan import Plan
from reconciler.model.spec import Spec
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.ownership_metadata import metadata_for_update

_QUIET: Final = frozenset({Action.NONE, Action.WATCH})  # the second changes nothing: a service that crashes by itself
_SHOWN: Final = 3  # fields of a machine


def disproof(spec: Spec, observed: Observed, machine_ids: Collection[str]) -> list[str]:
    """Say in words what else the first plan of the spec does, and the plan after it."""
    first = make_plan(spec, observed, adopt=True)
    found = [f"a plan of it would be refused: {one}" for one in first.blocked]
    found += [f"{change.address} {reason}" for change in first.changes if (reason := _more_than_marks(change))]
    found += _other_parts(first)
    taken = {change.machine_id for change in first.changes if change.action is Action.ADOPT}
    missed = [one for one in observed.machines if one.id in machine_ids and one.id not in taken]
    found += [f"machine {one.name} ({one.id}) would not be taken over" for one in missed if not found]
    if not found:
        again = make_plan(spec, _adopted(first, observed, stack=spec.stack))
        found += [
            f"{change.address} would be changed after it was taken over: {change.reason}"
            for change in again.changes
            if change.action not in _QUIET
        ]
        found += _other_parts(again)
    return found


def _more_than_marks(change: Change) -> str:
    """Say what a change does beside writing marks on a machine; empty if nothing."""
    if change.action is not Action.ADOPT:
        return f"would be changed by its first plan ({change.action.value}: {change.reason})"
    if change.fields:
        return f"would be changed: no spec says {', '.join(one.path for one in change.fields[:_SHOWN])} as it is"
    if change.is_started:
        return "would be started"
    return f"would wait: {change.deferred}" if change.deferred else ""


def _other_parts(plan: Plan) -> Iterator[str]:
    if plan.apps or plan.allocations:
        yield "its plan would make an app or an address"
    yield from (f"machine {one.id} of {one.slot.address} is unreachable" for one in plan.unreachable)


def _adopted(plan: Plan, observed: Observed, *, stack: str) -> Observed:
    """Return the snapshot as it is after the plan's adoptions."""
    desired = {change.machine_id: change.desired for change in plan.changes if change.desired}

    def marked(machine: Machine) -> Machine:
        wanted = desired.get(machine.id)
        if wanted is None or machine.config is None:
            return machine
        metadata = metadata_for_update(wanted, machine.metadata, stack=stack)
        return replace(machine, config=machine.config.with_metadata(metadata))

    apps = {
        name: replace(app, machines=tuple(marked(machine) for machine in app.machines))
        for name, app in observed.apps.items()
    }
    return replace(observed, apps=apps)
