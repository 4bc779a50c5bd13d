"""Read back what the platform shows after an apply, and compare."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from reconciler.apply.options import Options
from reconciler.model.change import Action
from reconciler.model.machine import MachineState, Observed
from reconciler.model.plan import Plan
from reconciler.model.report import Entry, IpEntry, Reason, Status
from reconciler.model.spec import Spec
from reconciler.planner.drift import only_drift
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.context import Context
from reconciler.slots.snapshot import observe_stack
from reconciler.slots.wait import read_by_id


class ReadBack(NamedTuple):
    """What was read after an apply. `is_whole` says that the whole spec is applied."""

    mismatches: tuple[str, ...]
    observed: Observed | None = None
    is_whole: bool = False


async def read_back(
    context: Context,
    spec: Spec,
    plan: Plan,
    entries: tuple[Entry, ...],
    allocations: tuple[IpEntry, ...],
    options: Options,
    *,
    before: Observed | None,
) -> ReadBack:
    """Return what differs from what was done, and the snapshot that says so.

    It plans again, and wants nothing left to do. A list may lag behind, so a slot that seems to differ is first read by
    its machine's id. What is not listed again, since nothing was done there, is as `before` has it.
    """
    touched = {ended.address: ended for ended in entries}
    whole = partial(
        make_plan,
        spec,
        selection=options.selection,
        allow_destroy=len(plan.changes),
        allow_rollback=True,
        adopt=any(change.action is Action.ADOPT for change in plan.changes),  # one may be deferred
    )

    def replan(seen: Observed) -> Plan:
        return only_drift(whole(seen)) if options.only_drift else whole(seen)

    try:
        observed = await _observed_again(context, spec, (*entries, *allocations), before)
        again = replan(observed)
        doubtful = _doubtful(observed, again, entries)
        if doubtful:
            observed = await _looked_at(context, observed, doubtful)
            again = replan(observed)
    except Exception as error:
        return ReadBack((f"could not be read back: {context.explain(error)}",))
    done = {address for address, ended in touched.items() if ended.status is Status.DONE}
    left = [f"{change.address}: {change.reason}" for change in again.effective if change.address in done]
    unasked = [
        f"{change.address}: {change.reason} (not in the plan)"
        for change in again.effective
        if not change.deferred and change.address not in touched
    ]
    given = {(one.app, one.kind) for one in allocations if one.status is Status.DONE}
    left += [f"{one.app}: {one.kind}: {one.reason}" for one in again.allocations if (one.app, one.kind) in given]
    mismatches = (*left, *unasked, *_failed(observed, entries), *again.blocked)
    is_whole = again.is_settled and options.selection.is_whole and not (mismatches or options.only_drift)
    return ReadBack(mismatches, observed, is_whole)


async def _observed_again(
    context: Context, spec: Spec, entries: tuple[Entry | IpEntry, ...], before: Observed | None
) -> Observed:
    touched = {ended.app for ended in entries if ended.status is not Status.SKIPPED or _is_by_newer(ended)}
    seen = await observe_stack(context, spec, apps=None if before is None else touched)
    return seen if before is None else replace(seen, apps={**before.apps, **seen.apps}, warnings=before.warnings)


def _is_by_newer(ended: Entry | IpEntry) -> bool:
    """Return whether a newer revision was met there, so that a list tells which."""
    return isinstance(ended, Entry) and ended.reason is Reason.SUPERSEDED


def _failed(observed: Observed, entries: Iterable[Entry]) -> list[str]:
    """Name the machines that were written and then settled as `failed`."""
    failed = {machine.id for machine in observed.machines if machine.state is MachineState.FAILED}
    return [
        f"{ended.address}: the machine settled in state failed; its log says why"
        for ended in entries
        if ended.status is Status.DONE and ended.machine_id in failed and ended.action is not Action.DESTROY
    ]


def _doubtful(observed: Observed, again: Plan, entries: Iterable[Entry]) -> set[tuple[str, str]]:
    """Return (app, machine id) of what the list shows otherwise than it was left.

    That is also what it does not show.
    """
    suspects = {change.address: change for change in again.effective if not change.deferred}
    found = {(change.slot.app, change.machine_id) for change in suspects.values()}
    found |= {(write.app, write.machine_id) for change in suspects.values() for write in change.writes}
    found |= {
        (ended.slot.app, ended.machine_id)
        for ended in entries
        if ended.address in suspects or observed.apps[ended.slot.app].unobserved
    }
    return {(app, machine_id) for app, machine_id in found if machine_id}


async def _looked_at(context: Context, observed: Observed, doubtful: Iterable[tuple[str, str]]) -> Observed:
    """Return the snapshot with these machines as a GET shows them."""
    places = sorted(doubtful)
    looked = await asyncio.gather(*(read_by_id(context, app, machine_id) for app, machine_id in places))
    machines = {name: {machine.id: machine for machine in app.machines} for name, app in observed.apps.items()}
    for (app_name, machine_id), seen in zip(places, looked, strict=True):
        machines[app_name].pop(machine_id, None)
        if seen:
            machines[app_name][machine_id] = seen
    looked_at = {
        name: replace(observed.apps[name], exists=True, machines=tuple(machines[name].values()))
        for name in {app_name for app_name, _ in places}
    }
    return replace(observed, apps={**observed.apps, **looked_at})
