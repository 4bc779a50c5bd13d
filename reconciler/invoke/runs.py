"""List and find runs from the API alone, without a state file.

To act on one: attach.py. The runs of a machine that is gone are read from the marks that an apply left on the pool's
anchor, and from the destroyed machine, which the platform lists for about two days (`include_deleted`).
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from reconciler.errors import ApiError, ApiErrorKind, UnobservedError, UsageError
from reconciler.invoke.history import runs_with_spans
from reconciler.invoke.listing import is_unfiltered, list_pool
from reconciler.invoke.outcome import outcome_of
from reconciler.machines_api.more_events import has_all_events
from reconciler.model import marks
from reconciler.model.kind import kind_of
from reconciler.model.machine import Event, Machine
from reconciler.model.run import RunInfo, RunState
from reconciler.model.run_ids import is_named, is_short, is_whole
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context
from reconciler.slots.run_ends import RunEnd, kept_ends
from reconciler.slots.run_records import records_of
from reconciler.slots.run_starts import RunSpan

_EVENTS: Final = 50
_UNKNOWN_STARTER: Final = "unknown"  # an end that is kept does not say who started the run
_AT_ONCE: Final = 10
_NAMED: Final = 10


class FoundRun(Struct, frozen=True, kw_only=True):
    """A run, its machine, and its starts, if those are retained."""

    info: RunInfo
    machine: Machine
    span: RunSpan | None = None


async def list_runs(
    context: Context,
    app: str,
    *,
    stack: str | None,
    task: str | None = None,
    failures: list[str] | None = None,
    unreachable: list[str] | None = None,
) -> list[FoundRun]:
    """Return the retained runs of the app's tasks, newest first.

    One call, and one more for each machine that does not come with all its events. Runs of destroyed machines are
    included if the pool's anchor keeps them or the platform still lists the machine. If a machine cannot be read, the
    reason is added to `failures`; without `failures` its error is raised. The addresses of machines whose hosts are
    down are added to `unreachable`.
    """
    if task is None:
        listed: Sequence[Machine] = await context.client.list_machines(app, with_destroyed=True) or ()
    else:
        listed = await list_pool(context, app, stack=stack, pool=task, with_destroyed=True)
    machines = [one for one in task_machines(listed, stack) if task in {None, one.metadata[marks.POOL]}]
    gone = [one for one in task_machines(listed, stack, are_gone=True) if task in {None, one.metadata[marks.POOL]}]
    for machine in _unreachable(listed, stack):
        if task is None or machine.metadata.get(marks.POOL, task) == task:
            context.emit(_words(machine))
            if unreachable is not None:
                unreachable.append(f"{machine.app}/{machine.name}")
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(machine: Machine) -> list[FoundRun]:
        if has_all_events(machine):
            return runs_in(machine, machine.events)
        async with limit:
            try:
                return await runs_on(context, machine)
            except Exception as error:
                if failures is None:
                    raise
                why = f"the runs of {machine.app}/{machine.name} cannot be read: {context.explain(error)}"
                failures.append(why)
                return []

    found = [run for runs in await asyncio.gather(*(one(machine) for machine in (*machines, *gone))) for run in runs]
    told = {run.info.id for run in found}
    found += [run for run in _kept(machines) if run.info.id not in told]
    known = [run for run in found if run.info.started_at]
    known.sort(key=lambda run: (run.info.started_at, run.info.id), reverse=True)
    others = [run for run in found if not run.info.started_at]
    going_on = [run for run in others if run.info.state is RunState.RUNNING]
    return going_on + known + [run for run in others if run.info.state is not RunState.RUNNING]


async def find_run(context: Context, app: str, run_id: str, *, stack: str | None) -> FoundRun | None:
    """Return the run of this id, or whose id begins so, even of a destroyed machine.

    None if the app has none. Raises UnobservedError if its machine cannot be observed, UsageError if several runs' ids
    begin so.
    """
    if not is_whole(run_id):
        return only_run(await find_runs(context, app, run_id, stack=stack), run_id)
    where = {marks.SLOT: run_id.partition("/")[0]} | ({marks.STACK: stack} if stack else {})
    seen = await context.client.list_machines(app, where=where) or ()
    if not is_unfiltered(seen, where):
        if found := await _find_on(context, task_machines(seen, stack), run_id):
            return found
        seen = await context.client.list_machines(app) or ()
    machines = task_machines(seen, stack)
    if found := await _find_on(context, machines, run_id):
        return found
    if kept := next((run for run in _kept(machines) if run.info.id == run_id), None):
        return kept
    for machine in _unreachable(seen, stack):
        if machine.name in {"", run_id.partition("/")[0]}:
            raise UnobservedError(_words(machine), hint="try again once it can be observed")
    listed = await context.client.list_machines(app, with_destroyed=True) or ()
    return await _find_on(context, task_machines(listed, stack, are_gone=True), run_id)


async def find_runs(context: Context, app: str, name: str, *, stack: str | None) -> list[FoundRun]:
    """Return the runs whose id, or ULID, begins so, even of destroyed machines.

    One call, and one more for each machine that may have had one. Without the slot's name runs without a record are
    not found. Raises UnobservedError if a machine that cannot be observed may have had the run that is meant.
    """
    listed = await context.client.list_machines(app, with_destroyed=True) or ()
    live = task_machines(listed, stack)
    slot, slash, _ = name.rpartition("/")
    asked = [
        machine
        for machine in (*live, *task_machines(listed, stack, are_gone=True))
        if (machine.name == slot if slash else _has_record(machine, name))
    ]
    found = {run.info.id: run for machine in asked for run in await runs_on(context, machine)}
    found |= {run.info.id: run for run in _kept(live) if run.info.id not in found}
    named = [run for run_id, run in found.items() if is_named(run_id, name)]
    for machine in () if named and not is_short(name) else _unreachable(listed, stack):
        if machine.name in {"", slot} or not slash:
            raise UnobservedError(_words(machine), hint="try again once it can be observed")
    return named


def only_run(found: Sequence[FoundRun], name: str) -> FoundRun | None:
    """Return the run that has this name; None if none has.

    Raises UsageError if it is the beginning of several runs' ids.
    """
    if whole := [run for run in found if run.info.id == name]:
        return whole[0]
    if len(found) > 1:
        ids = sorted((run.info.id for run in found), key=lambda one: one.rpartition("/")[2], reverse=True)
        more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
        said = f"{name!r} is the beginning of {len(ids)} runs' ids: {', '.join(ids[:_NAMED])}{more}"
        raise UsageError(said, hint="give more of the one that is meant")
    return found[0] if found else None


def _has_record(machine: Machine, name: str) -> bool:
    return any(is_named(record.ulid, name) for record in records_of(machine.metadata).values())


async def _find_on(context: Context, machines: Sequence[Machine], run_id: str) -> FoundRun | None:
    """Return the run of this id.

    Several machines may have had its slot's name in turn.
    """
    for machine in machines:
        if machine.name == run_id.partition("/")[0]:
            found = next((run for run in await runs_on(context, machine) if run.info.id == run_id), None)
            if found:
                return found
    return None


def _kept(keepers: Iterable[Machine]) -> list[FoundRun]:
    """Return the ended runs that these machines keep of destroyed ones, newest first."""
    found = {
        f"{end.slot}/{end.id}": FoundRun(info=_kept_run(end, keeper), machine=keeper)
        for keeper in keepers
        for end in kept_ends(keeper.metadata)
    }
    return sorted(found.values(), key=lambda run: (run.info.started_at, run.info.id), reverse=True)


def _kept_run(end: RunEnd, keeper: Machine) -> RunInfo:
    return RunInfo(
        id=f"{end.slot}/{end.id}",
        task=keeper.metadata.get(marks.POOL, ""),
        app=keeper.app,
        slot=end.slot,
        machine_id=end.machine_id,
        state=RunState.ENDED,
        who=_UNKNOWN_STARTER,
        started_at=end.started_at,
        ended_at=end.ended_at,
        outcome=outcome_of(end.exit, timed_out=end.exit.requested_stop and end.was_late),
    )


async def runs_on(context: Context, machine: Machine) -> list[FoundRun]:
    """Read the retained runs of one machine, newest first."""
    return runs_in(machine, await read_events(context, machine))


def runs_in(machine: Machine, events: Sequence[Event]) -> list[FoundRun]:
    """Return the runs that the machine's records and these events show, newest first."""
    return [FoundRun(info=info, machine=machine, span=span) for info, span in runs_with_spans(machine, events)]


def _unreachable(machines: Sequence[Machine], stack: str | None) -> list[Machine]:
    """Return the machines that cannot be observed and may belong to the stack."""
    return [
        machine
        for machine in machines
        if not machine.is_observable
        and marks.may_be_owned(machine.metadata, stack=stack, name=machine.name, are_whole=machine.shows_marks)
    ]


def _words(machine: Machine) -> str:
    return f"{machine.app}/{machine.name or 'a machine'} is {machine.doubt}, so its runs are not known"


def task_machines(machines: Iterable[Machine], stack: str | None, *, are_gone: bool = False) -> list[Machine]:
    """Return the machines of tasks of the stack, or without a stack, of all stacks."""
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
    """Return the tasks of the machines, each with the stacks that have it."""
    found: dict[str, set[str]] = {}
    for machine in task_machines(machines, stack):
        found.setdefault(machine.metadata[marks.POOL], set()).add(machine.metadata[marks.STACK])
    return found


async def read_events(context: Context, machine: Machine) -> Sequence[Event]:
    """Read the machine's events.

    Of a destroyed one that was pruned, use the listed ones.
    """
    try:
        return await context.client.list_events(machine.app, machine.id, limit=_EVENTS)
    except ApiError as error:
        if error.kind is ApiErrorKind.NOT_FOUND and machine.state.is_gone:
            return machine.events
        raise
