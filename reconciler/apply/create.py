"""Create one machine, exactly once.

The machine's name is fixed and the server refuses a second one. So after a lost reply we look for the name, and only if
it is not there create again under the same name. The attempt's ULID tells a machine of ours whose reply was lost from
one that someone else made. A name or a volume that another machine still has is waited for; if the volume is not freed
in time, the change is deferred or has failed, by whose it is.
"""

from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import Final, NamedTuple

from reconciler.apply.judge import entry, words_of
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model import marks
from reconciler.model.change import Change
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine, MachineState
from reconciler.model.report import Entry, Reason, Status
from reconciler.model.revision import Revision
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context, new_ulid
from reconciler.slots.ownership_metadata import metadata_for_create
from reconciler.slots.pushed_images import sent_until_known
from reconciler.slots.wait import read_by_id

_LOOKS_S: Final = (0.5, 1.0, 1.5)  # waits before each look after an unclear reply
_ATTEMPTS: Final = 2
_FREE_TIMEOUT_S: Final = 60.0  # a destroyed machine's name and volumes are free after some seconds
_POLL_S: Final = 1.0


class Created(NamedTuple):
    """The machine that has the slot's name. `is_ours`: this create made it."""

    machine: Machine
    is_ours: bool


async def create(
    context: Context,
    change: Change,
    *,
    stack: str,
    revision: Revision | None = None,
    carried: Mapping[str, str] | None = None,
    noted: Mapping[str, str] | None = None,
) -> Created:
    """Return the machine made for the slot, or the one that had its name first.

    `carried` is the metadata of the machine that this one replaces, whose name may take a while to be free; `noted` are
    the notes of the plan. Raises ApiError; of kind UNCLEAR if the machine could not be found after all attempts,
    VOLUME_BUSY if one of its volumes was not free in time, or will not be while a run has it.
    """
    assert change.desired is not None
    attempt = new_ulid(context.clock.now())
    metadata = metadata_for_create(
        change.desired, stack=stack, revision=revision, attempt=attempt, carried=carried, noted=noted
    )
    deadline = context.clock.monotonic() + _FREE_TIMEOUT_S
    for attempts in count(1):
        while True:
            try:
                return Created(await _send(context, change, metadata), is_ours=True)
            except ApiError as error:
                if error.kind is ApiErrorKind.NAME_TAKEN:  # assumption A11
                    holder = await _holder(context, change, error)
                    if holder and not holder.state.is_gone:
                        return _created(holder, attempt)
                    if context.clock.monotonic() >= deadline:
                        raise
                    await context.clock.sleep(_POLL_S)  # its name is free in a moment
                    continue
                if error.kind is ApiErrorKind.VOLUME_BUSY and context.clock.monotonic() < deadline:
                    holder = await holder_of_volume(context, change, error)
                    if holder and holder.name == change.slot.name and not holder.state.is_gone:
                        return _created(holder, attempt)  # made by a create whose reply was lost
                    if holder is None or not has_run(holder, stack=stack):
                        await context.clock.sleep(_POLL_S)
                        continue
                if not error.is_unclear:
                    raise
                found = await _look_for(context, change)
                if found:
                    return _created(found, attempt)
                if attempts >= _ATTEMPTS and not context.client.new_apps.is_new(change.slot.app):
                    raise
                break
    raise AssertionError("unreachable: the count has no end")


async def _send(context: Context, change: Change, metadata: dict[str, str]) -> Machine:
    assert change.desired is not None
    config = change.desired.config.with_metadata(metadata)

    async def send() -> Machine:
        return await context.client.create_machine(
            change.slot.app,
            name=change.slot.name,
            region=change.slot.region,
            config=config,
            skip_launch=change.kind is PoolKind.TASK and not change.may_launch,
        )

    return await sent_until_known(context, config.image, send)


async def _look_for(context: Context, change: Change) -> Machine | None:
    def is_its_own(machine: Machine) -> bool:
        return machine.name == change.slot.name and not machine.state.is_gone

    for wait_s in _LOOKS_S:
        await context.clock.sleep(wait_s)
        for machine in await context.client.list_machines(change.slot.app, keep=is_its_own) or ():
            return machine
    return None


async def _holder(context: Context, change: Change, error: ApiError) -> Machine | None:
    """Return the machine that has the name; None if it is gone."""
    if error.machine_id is None:
        raise error
    return await read_by_id(context, change.slot.app, error.machine_id)


def _created(holder: Machine, attempt: str) -> Created:
    return Created(holder, is_ours=holder.metadata.get(marks.ATTEMPT) == attempt)


async def holder_of_volume(context: Context, change: Change, error: ApiError) -> Machine | None:
    """Find the machine with a volume that the change is to mount. Raises ApiError.

    The refusal names it, or not: its id has been seen as zero bytes.
    """
    if error.machine_id:
        return await read_by_id(context, change.slot.app, error.machine_id)

    def holds(machine: Machine) -> bool:
        return machine.state is not MachineState.DESTROYED and bool(_shared(change, machine))

    return next(iter(await context.client.list_machines(change.slot.app, keep=holds) or ()), None)


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
