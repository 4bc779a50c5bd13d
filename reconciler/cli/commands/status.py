"""`reconciler status`: what is there, what it does, and how its last run ended. Reads, never writes."""

from collections.abc import Iterator
from datetime import UTC, datetime

import click

from reconciler.cli import spec_file
from reconciler.cli.connect import open_context, resolve
from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared, shared, shared_options
from reconciler.cli.ui.signals import run_async
from reconciler.model import marks
from reconciler.model.kind import kind_of
from reconciler.model.machine import Event, Machine, MachineState, Observed
from reconciler.model.spec import PoolKind, Spec
from reconciler.render.status import StatusRow


@click.command("status")
@shared_options
def command(**_values: object) -> int:
    """Show pools, slots, states, last runs, restarts and failing checks. Ends 0 where everything could be seen."""
    from reconciler.cli.ui.errors import tell_failures
    from reconciler.render.status import status_json, status_text

    options = shared()
    spec = spec_file.load(options)
    observed, failures = run_async(_observe(options, spec))
    rows = [row for row in _rows(spec, observed) if not options.only or row.pool in options.only]
    if options.is_json:
        console.print_json(status_json(rows, failures))
    else:
        text = status_text(rows, now=datetime.now(UTC), color=console.is_coloured(options), width=console.width())
        console.print_text(text, is_safe=True)
    return tell_failures(failures)


async def _observe(options: Shared, spec: Spec) -> tuple[Observed, list[str]]:
    """What could be seen, and in words what could not."""
    from reconciler.machines_api.observe import observe_readable

    async with open_context(options, resolve(options), console.say) as context:
        names = [app.name for app in spec.apps]
        observed, failures = await observe_readable(context.client, names, clock=context.clock)
        return observed, [f"app {name} cannot be read: {context.explain(error)}" for name, error in failures.items()]


def _rows(spec: Spec, observed: Observed) -> Iterator[StatusRow]:
    """One row for each slot of the spec, there or not, then for whatever else is in the apps that could be read."""
    from reconciler.planner.pair import pair

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
                    yield _missing(app.name, pool.name, pool.kind, slot.name)
                    continue
                shown.add(machine.id)
                yield _row(machine, pool.name, pool.kind.value)
        for machine in seen.machines:
            if machine.id in shown:
                continue
            if machine.name in owned and owned[machine.name].id == machine.id:
                kind = kind_of(machine).value
                yield _row(machine, machine.metadata[marks.POOL], kind, note="no longer in the spec")
            elif not machine.is_observable:
                yield _row(machine, pools.get(machine.id, ""), "", note="not a slot of the spec")
            else:
                yield _row(machine, "", "", note="foreign: not of this stack")


def _missing(app: str, pool: str, kind: PoolKind, slot: str) -> StatusRow:
    return StatusRow(
        app=app,
        pool=pool,
        kind=kind.value,
        slot=slot,
        machine_id=None,
        state="missing",
        since=None,
        last_outcome=None,
        last_ended=None,
        note="",
    )


def _row(machine: Machine, pool: str, kind: str, note: str = "") -> StatusRow:
    from reconciler.model.crashes import restarts_in

    since = machine.events[0].at if machine.events else machine.updated_at
    exited = next((event for event in machine.events if event.exit and not event.exit.restarting), None)
    state, _, why = ("", "", "") if machine.is_observable else machine.doubt.partition(": ")
    is_started = machine.state is MachineState.STARTED and machine.is_observable
    return StatusRow(
        app=machine.app,
        pool=pool,
        kind=kind,
        slot=machine.name,
        machine_id=machine.id or None,
        state=state or machine.state.value,
        since=since,
        last_outcome=_outcome(exited),
        last_ended=exited.at if exited else None,
        note="; ".join(part for part in (why, note) if part),
        restarts=restarts_in(machine.events),
        failing=tuple(check for check in machine.checks if check.status != "passing") if is_started else (),
    )


def _outcome(exited: Event | None) -> str | None:
    from reconciler.invoke.outcome import outcome_of

    return outcome_of(exited.exit).message if exited and exited.exit else None
