"""What is there, what it does, and how its last run ended. Reads, never writes."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.invoke.outcome import outcome_of
from reconciler.machines_api.more_events import with_more_events
from reconciler.machines_api.observe import observe_readable
from reconciler.model import marks
from reconciler.model.change import Action
from reconciler.model.crashes import is_cut, restarts_in
from reconciler.model.kind import kind_of
from reconciler.model.machine import Event, Machine, MachineState, Observed, ObservedApp
from reconciler.model.revision import Revision
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.slot_status import SlotStatus
from reconciler.model.spec import PoolKind, Slot, Spec
from reconciler.operations.selection import require_regions
from reconciler.operations.session import Session
from reconciler.operations.urls import urls_of
from reconciler.planner.desired import with_applied_digests
from reconciler.planner.drift import with_drift
from reconciler.planner.holders import owned_in
from reconciler.planner.limits import AppliedRevisions
from reconciler.planner.pair import clone_of, pair
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.context import Context
from reconciler.slots.lease_description import lock_words

_NO_LIMIT = 10_000_000


class StackStatus(Struct, frozen=True, kw_only=True):
    """The state of each slot and machine; in words what could not be read."""

    slots: tuple[SlotStatus, ...]
    failures: tuple[str, ...] = ()
    urls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by app with public ports: where it is called
    applied_revision: Revision | None = None  # the newest one that was applied whole, if that is known


async def status(session: Session, spec: Spec, *, selection: Selection = WHOLE) -> StackStatus:
    """Return the state of the selected slots, and of all else that is there.

    Raises ApiError if no app can be read.
    """
    context = session.context
    names = [app.name for app in spec.apps]
    observed, failures = await observe_readable(context.client, names, clock=context.clock)
    if not failures:
        require_regions(spec, selection, observed)
    observed = replace(
        observed, apps={name: await _told_whole(context, spec.stack, app) for name, app in observed.apps.items()}
    )
    differences = differences_of(spec, observed)
    rows = (row for row in rows_of(spec, observed) if selection.has_place(row.pool, row.region))
    return StackStatus(
        slots=tuple(replace(row, differs=differences.get((row.app, row.machine_id), "")) for row in rows),
        failures=tuple(f"app {name} cannot be read: {context.explain(error)}" for name, error in failures.items()),
        urls=await urls_of(session, spec),
        applied_revision=_applied(spec, observed),
    )


def differences_of(spec: Spec, observed: Observed) -> dict[tuple[str, str | None], str]:
    """Return which machines, by app and id, are not as applied or declared.

    The value is that of `SlotStatus.differs`. Images count as they were applied: no registry is asked.
    """
    seen = replace(spec, apps=tuple(app for app in spec.apps if app.name in observed.apps))
    found = make_plan(with_applied_digests(seen, observed), observed, allow_destroy=_NO_LIMIT)
    drifted = {(one.slot.app, one.machine_id) for one in with_drift(found).changes if one.fields}
    updated = (one for one in found.effective if one.action in {Action.UPDATE, Action.REPLACE})
    differing = {(one.slot.app, one.machine_id): "spec" for one in updated}
    return differing | dict.fromkeys(drifted & differing.keys(), "drift")


def _applied(spec: Spec, observed: Observed) -> Revision | None:
    found = AppliedRevisions()
    for app in observed.apps.values():
        found.add(owned_in(app, spec.stack))
    return found.whole


async def _told_whole(context: Context, stack: str, app: ObservedApp) -> ObservedApp:
    """Return the app, with more events where a list has too few.

    That is so for a machine of ours whose last run they do not show.
    """

    def needs(machine: Machine) -> bool:
        events = machine.events
        if not events or not machine.is_observable:
            return False
        has_ended = any(event.exit and not event.exit.restarting for event in events)
        tells = has_ended or events[-1].type == "launch"
        is_whole = not (is_cut(events) and restarts_in(events))
        return not (tells and is_whole) and marks.is_owned(machine.metadata, stack=stack, name=machine.name)

    return replace(app, machines=await with_more_events(context.client, app.machines, needs))


def rows_of(spec: Spec, observed: Observed) -> Iterator[SlotStatus]:
    """Yield a row for each slot of the spec, then for each other machine in its apps.

    A slot without a machine has a row too. Apps that could not be read have none.
    """
    row = partial(_row, observed.at)
    for app in spec.apps:
        seen = observed.apps.get(app.name)
        if seen is None:
            continue
        dark = pair(app, seen, stack=spec.stack).unreachable
        unreachable = {slot.name: machine for slot, machine in dark.items()}
        pools = {machine.id: slot.pool for slot, machine in dark.items()}
        owned = {
            machine.name: machine
            for machine in seen.machines
            if machine.is_observable and marks.is_owned(machine.metadata, stack=spec.stack, name=machine.name)
        }
        shown = set()
        for pool in app.pools:
            for slot in pool.slots:
                machine = owned.get(slot.name) or unreachable.get(slot.name)
                if machine is None:
                    yield _missing(slot, pool.kind)
                    continue
                shown.add(machine.id)
                yield row(machine, pool.name, pool.kind.value)
        for machine in seen.machines:
            if machine.id in shown:
                continue
            if machine.name in owned and owned[machine.name].id == machine.id:
                kind = kind_of(machine).value
                yield row(machine, machine.metadata[marks.POOL], kind, note="no longer in the spec")
            elif not machine.is_observable:
                yield row(machine, pools.get(machine.id, ""), "", note="not a slot of the spec")
            else:
                cloned = clone_of(machine, stack=spec.stack)
                yield row(machine, "", "", note=f"foreign: {f'a clone of {cloned}' if cloned else 'not of this stack'}")


def _missing(slot: Slot, kind: PoolKind) -> SlotStatus:
    return SlotStatus(
        app=slot.app,
        pool=slot.pool,
        kind=kind.value,
        slot=slot.name,
        region=slot.region,
        machine_id=None,
        state="missing",
        since=None,
        last_outcome=None,
        last_ended=None,
        note="",
    )


def _row(now: datetime, machine: Machine, pool: str, kind: str, note: str = "") -> SlotStatus:
    """Return the row of a machine; the `note` says why it is none of a slot."""
    since = machine.events[0].at if machine.events else machine.updated_at
    exited = next((event for event in machine.events if event.exit and not event.exit.restarting), None)
    state, _, why = ("", "", "") if machine.is_observable else machine.doubt.partition(": ")
    is_started = machine.state is MachineState.STARTED and machine.is_observable
    return SlotStatus(
        app=machine.app,
        pool=pool,
        kind=kind,
        slot=machine.name,
        region=machine.region,
        machine_id=machine.id or None,
        state=state or machine.state.value,
        since=since,
        last_outcome=_outcome(exited),
        last_ended=exited.at if exited else None,
        note="; ".join(part for part in (why, note) if part),
        is_declared=not note,
        restarts=restarts_in(machine.events),
        lock=lock_words(machine.lease, now=now) if machine.lease else None,
        failing=tuple(check for check in machine.checks if check.status != "passing") if is_started else (),
    )


def _outcome(exited: Event | None) -> str | None:
    return outcome_of(exited.exit).message if exited and exited.exit else None
