"""Keep what a pool remembers when a machine goes: keys, `want`, how runs ended.

An anchor that has left the spec hands over before it is destroyed. Both leases are held, so no run with a key begins
meanwhile. At each point at most one machine says that it is the anchor. If this stops halfway, none does: runs with
keys are then refused until the next apply has named an anchor.

How a machine's runs ended is kept on the pool's anchor. That is written under the anchor's lease, while the machine's
own lease is held. If that fails, a message says so, and the machine is destroyed all the same: the platform reports a
destroyed machine for about two days.

If an anchor was destroyed by hand, or a replace stopped after the destroy, what it remembered is read from the
destroyed machine.
"""

from typing import Final

from msgspec.structs import replace

from reconciler.apply.job import Locks
from reconciler.apply.options import Options
from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError
from reconciler.machines_api.more_events import has_all_events
from reconciler.model import marks
from reconciler.model.change import Action, Change
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine
from reconciler.model.spec import PoolKind
from reconciler.slots.context import Context
from reconciler.slots.lease import HeldLease
from reconciler.slots.run_ends import RunEnd, ends_of, kept_ends, marks_to_keep
from reconciler.slots.run_records import records_of
from reconciler.slots.wait import read_by_id, read_machine

_KEYS: Final = (marks.KEY, marks.FINGERPRINTS)
_LOOKS_S: Final = (0.0, 1.0, 2.0)
_EVENTS: Final = 50
_MEMORY: Final = (marks.KEY, marks.FINGERPRINTS, marks.ENDS)


async def hand_over(
    context: Context, lease: HeldLease, leaving: Machine, change: Change, options: Options, locks: Locks
) -> None:
    """Make the successor the anchor, if the machine that leaves is the anchor.

    Raises ApiError, LeaseLostError.
    """
    handover = change.handover
    if handover is None or handover.successor is None or leaving.metadata.get(marks.ANCHOR) != leaving.name:
        return
    successor = await find_by_name(context, leaving, handover.successor)
    if successor is None:
        message = f"the pool's new anchor {handover.successor} is not there yet; apply again"
        raise ApiError(message, kind=ApiErrorKind.REFUSED)
    async with locks.hold(successor.app, successor.id) as successors_lease:
        live = await read_machine(context, successor)
        revision = str(options.revision) if options.revision else None
        passed_on = {key: value for key, value in leaving.metadata.items() if key.startswith(_KEYS)}
        passed_on[marks.WANT] = marks.Want(handover.digest, revision, handover.image_digest).to_text()
        passed_on[marks.TERMS] = handover.run_policy
        passed_on |= {marks.COUNTS: handover.counts} if handover.counts else {}
        for key in live.metadata.keys() - passed_on.keys():
            if key.startswith(_KEYS):  # from a handing over that was cut off: the anchor has dropped it since
                successors_lease.guard()
                await context.client.delete_metadata(successor.app, successor.id, key)
        for key, value in passed_on.items():
            if live.metadata.get(key) != value:
                successors_lease.guard()
                await context.client.set_metadata(successor.app, successor.id, key, value)
        lease.guard()
        await context.client.set_metadata(leaving.app, leaving.id, marks.ANCHOR, successor.name)
        successors_lease.guard()
        await context.client.set_metadata(successor.app, successor.id, marks.ANCHOR, successor.name)


async def keep_ends(context: Context, leaving: Machine, change: Change, locks: Locks) -> Machine:
    """Keep the ends of the leaving machine's runs on the keeper of the plan.

    An anchor that is replaced keeps its own: then the machine is returned as if it had them, for the one that comes
    after it; else as it is.
    """
    is_replaced_anchor = change.action is Action.REPLACE and change.anchor == change.slot.name
    if change.keeper is None and not is_replaced_anchor:
        return leaving
    try:
        ends = await _read_ends(context, leaving, change.kind)
        if change.keeper is None:
            return _with_ends(leaving, ends)
        if ends:
            await _write_ends(context, leaving, change, locks, ends)
    except (ApiError, LeaseLostError) as error:
        context.emit(f"{change.address}: cannot keep how its runs ended: {error.message}")
    return leaving


async def _read_ends(context: Context, leaving: Machine, kind: PoolKind) -> list[RunEnd]:
    """Return how the machine's runs ended, and the ends that it keeps for others."""
    if kind_of(leaving, declared=kind) is PoolKind.SERVICE:
        return []
    if not records_of(leaving.metadata) and _never_ran(leaving):
        return kept_ends(leaving.metadata)
    events = await context.client.list_events(leaving.app, leaving.id, limit=_EVENTS)
    return [*ends_of(leaving, events), *kept_ends(leaving.metadata)]


def _never_ran(machine: Machine) -> bool:
    """Return whether the machine comes with all its events, and none is a start."""
    has_started = any(event.type == "start" for event in machine.events)
    return not machine.events or (has_all_events(machine) and not has_started)


async def _write_ends(context: Context, leaving: Machine, change: Change, locks: Locks, ends: list[RunEnd]) -> None:
    keeper = await _find_keeper(context, leaving, change)
    if keeper is None:
        context.emit(f"{change.address}: cannot keep how its runs ended: {change.keeper} is not there yet")
        return
    async with locks.hold(keeper.app, keeper.id) as lease:
        live = await read_machine(context, keeper)
        for key, value in marks_to_keep(live.metadata, ends).items():
            lease.guard()
            await context.client.set_metadata(keeper.app, keeper.id, key, value)


def _with_ends(machine: Machine, ends: list[RunEnd]) -> Machine:
    if machine.config is None:
        return machine
    metadata = dict(machine.metadata) | marks_to_keep(machine.metadata, ends)
    return replace(machine, config=machine.config.with_metadata(metadata))


async def _find_keeper(context: Context, leaving: Machine, change: Change) -> Machine | None:
    """Return the keeper as the plan saw it, else by name.

    This apply may have made it anew.
    """
    if change.keeper_id:
        seen = await read_by_id(context, leaving.app, change.keeper_id)
        if seen and not seen.state.is_gone:
            return seen
    return await find_by_name(context, leaving, change.keeper or "")


async def find_by_name(context: Context, leaving: Machine, name: str) -> Machine | None:
    """Return the stack's machine of this name; a list may lag behind its creation."""
    for pause_s in _LOOKS_S:
        await context.clock.sleep(pause_s)
        for machine in await context.client.list_machines(leaving.app, keep=lambda one: one.name == name) or ():
            is_ours = machine.metadata.get(marks.STACK) == leaving.metadata.get(marks.STACK)
            if is_ours and not machine.state.is_gone:
                return machine
    return None


async def read_memory(context: Context, change: Change, stack: str) -> dict[str, str] | None:
    """Return the marks that the slot's new machine takes over. Raises ApiError.

    None for a slot that is no anchor.
    """
    is_anchor = change.kind is PoolKind.TASK and change.anchor == change.slot.name
    if not is_anchor or context.client.new_apps.is_new(change.slot.app):
        return None
    before = await context.client.list_machines(
        change.slot.app, with_destroyed=True, keep=lambda machine: _was_anchor(machine, change, stack)
    )
    newest = max(before or (), key=lambda one: one.events[0].timestamp_ms if one.events else 0, default=None)
    return {key: value for key, value in newest.metadata.items() if key.startswith(_MEMORY)} if newest else None


def _was_anchor(machine: Machine, change: Change, stack: str) -> bool:
    name = change.slot.name
    owner = {marks.STACK: stack, marks.POOL: change.slot.pool, marks.SLOT: name, marks.ANCHOR: name}
    return machine.state.is_gone and machine.name == name and owner.items() <= machine.metadata.items()
