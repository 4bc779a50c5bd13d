"""Runs whose machine is gone: from the marks that an apply left on their pool's anchor, and from destroyed machines.

The platform tells of a destroyed machine for about two days, by its list with `include_deleted` and by its id.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.invoke.outcome import outcome_of
from reconciler.model import marks
from reconciler.model.kind import kind_of
from reconciler.model.machine import Event, Machine
from reconciler.model.run import RunInfo, RunState
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context
from reconciler.slots.run_ends import RunEnd, kept_ends

_EVENTS: Final = 50
_STARTER_IS_NOT_KEPT: Final = "unknown"


def kept_runs(keepers: Iterable[Machine]) -> list[tuple[RunInfo, Machine]]:
    """The runs that these machines keep for others that are gone, each with its keeper, newest first."""
    found = {
        f"{end.slot}/{end.id}": (_kept_run(end, keeper), keeper)
        for keeper in keepers
        for end in kept_ends(keeper.metadata)
    }
    return sorted(found.values(), key=lambda pair: (pair[0].started_at, pair[0].id), reverse=True)


def _kept_run(end: RunEnd, keeper: Machine) -> RunInfo:
    return RunInfo(
        id=f"{end.slot}/{end.id}",
        task=keeper.metadata.get(marks.POOL, ""),
        app=keeper.app,
        slot=end.slot,
        machine_id=end.machine_id,
        state=RunState.ENDED,
        who=_STARTER_IS_NOT_KEPT,
        started_at=end.started_at,
        ended_at=end.ended_at,
        outcome=outcome_of(end.exit, timed_out=end.exit.requested_stop and end.was_late),
    )


def task_machines(machines: Iterable[Machine], stack: str | None, *, are_gone: bool = False) -> list[Machine]:
    """The machines of tasks, ours or, without a stack, any stack's; those of services have no runs."""
    found = []
    for machine in machines:
        owner = machine.metadata.get(marks.STACK)
        is_ours = owner is not None and owner == (stack or owner)
        is_seen = machine.is_observable or machine.state.is_gone
        is_owned = is_ours and is_seen and marks.is_owned(machine.metadata, stack=owner or "", name=machine.name)
        if is_owned and machine.state.is_gone is are_gone and kind_of(machine) is PoolKind.TASK:
            found.append(machine)
    return found


def tasks_of(machines: Sequence[Machine], stack: str | None) -> dict[str, set[str]]:
    """The tasks that the machines are of, each with the stacks that have it."""
    found: dict[str, set[str]] = {}
    for machine in task_machines(machines, stack):
        found.setdefault(machine.metadata[marks.POOL], set()).add(machine.metadata[marks.STACK])
    return found


async def read_events(context: Context, machine: Machine) -> Sequence[Event]:
    """The machine's newest events; of one that is pruned already, those that it was listed with."""
    try:
        return await context.client.list_events(machine.app, machine.id, limit=_EVENTS)
    except ApiError as error:
        if error.kind is ApiErrorKind.NOT_FOUND and machine.state.is_gone:
            return machine.events
        raise
