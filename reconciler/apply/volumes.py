"""Handle a volume that another machine still has: who that is, how a change ends."""

from contextlib import suppress

from reconciler.apply.entries import entry, words_of
from reconciler.errors import ApiError
from reconciler.model import marks
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine, MachineState
from reconciler.model.plan import Change
from reconciler.model.report import Entry, Reason, Status
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context
from reconciler.slots.wait import read_by_id


async def holder_of_volume(context: Context, change: Change, error: ApiError) -> Machine | None:
    """Find the machine with a volume that the change is to mount. Raises ApiError.

    The refusal names it, or not: its id has been seen as zero bytes.
    """
    if error.machine_id:
        return await read_by_id(context, change.slot.app, error.machine_id)
    machines = await context.client.list_machines(change.slot.app) or ()
    holders = (one for one in machines if one.state is not MachineState.DESTROYED and _shared(change, one))
    return next(holders, None)


def has_run(holder: Machine, *, stack: str) -> bool:
    """Return whether a task of ours has a run in progress, which is let finish."""
    is_ours = marks.is_owned(holder.metadata, stack=stack, name=holder.name)
    is_idle = holder.state.is_resting or holder.state.is_settling or holder.state.is_gone
    return is_ours and kind_of(holder) is PoolKind.TASK and not is_idle


async def without_volume(context: Context, change: Change, error: ApiError, *, stack: str) -> Entry:
    """Return the end of a change whose volume was not freed in time.

    It is deferred while a run has the volume, else failed.
    """
    holder = None
    with suppress(ApiError):
        holder = await holder_of_volume(context, change, error)
    if holder is None:
        return entry(change, Status.FAILED, words_of(error))
    volume = ", ".join(sorted(_shared(change, holder) or change.mounted))
    if has_run(holder, stack=stack):
        detail = f"volume {volume} is still mounted by {holder.name}: a run is in progress"
        return entry(change, Status.DEFERRED, detail, reason=Reason.RUN)
    is_ours = marks.is_owned(holder.metadata, stack=stack, name=holder.name)
    whose = "" if is_ours else ", which this stack does not own"
    detail = f"volume {volume} is mounted by machine {holder.id} ({holder.name}){whose}"
    return entry(change, Status.FAILED, f"{detail}; destroy that machine, or mount another volume")


def _shared(change: Change, machine: Machine) -> frozenset[str]:
    return change.mounted & machine.config.volumes if machine.config else frozenset()
