"""One short coroutine for each action on one slot. Each ends in an Entry, whatever the platform does.

Nothing is decided here but whether what was planned still holds under the lease: the machine is at rest, and is the
one that was planned for.
"""

from dataclasses import dataclass
from typing import Final

from reconciler.apply.create import create
from reconciler.apply.handover import hand_over
from reconciler.apply.options import Options
from reconciler.apply.ready import wait_ready
from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine, MachineState
from reconciler.model.plan import Action, Change
from reconciler.model.report import Entry, Status
from reconciler.model.revision import parse_revision
from reconciler.model.spec import PoolKind
from reconciler.planner import live_digest
from reconciler.slots.actor import Actor
from reconciler.slots.confirm import read_machine, wait_settled, wait_until
from reconciler.slots.lease import APPLY_TTL_S, START_TIMEOUT_S, HeldLease, hold_lease
from reconciler.slots.rest import stop_and_wait
from reconciler.slots.update import UpdateFailedError, update_machine

_GONE_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 300.0  # the platform kills at the latest then


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What every action needs to know."""

    actor: Actor
    stack: str
    options: Options


async def perform(actor: Actor, change: Change, stack: str, options: Options) -> Entry:
    """Does the change and says how it ended; errors of the platform become an entry, never an exception."""
    try:
        return await _perform(_Job(actor=actor, stack=stack, options=options), change)
    except LeaseLostError as error:
        return entry(change, Status.UNKNOWN, f"{error.message}; plan again")
    except ApiError as error:
        if error.kind is ApiErrorKind.LEASE_HELD and change.kind is PoolKind.TASK:
            return entry(change, Status.DEFERRED, error.message)
        return entry(change, Status.UNKNOWN if error.is_unclear else Status.FAILED, _words(error))
    except UpdateFailedError as error:
        return entry(change, Status.FAILED, error.message)


async def _perform(job: _Job, change: Change) -> Entry:
    match change.action:
        case Action.CREATE:
            return await _create(job, change)
        case Action.UPDATE | Action.ADOPT:
            return await _update(job, change)
        case Action.DESTROY:
            return await _destroy(job, change)
        case Action.REPLACE:
            return await _replace(job, change)
        case Action.START:
            return await _start(job, change)
        case Action.NONE:
            return entry(change, Status.DONE)


async def _create(job: _Job, change: Change, carried: Machine | None = None) -> Entry:
    machine = await create(job.actor, change, stack=job.stack, revision=job.options.revision, carried=carried)
    if isinstance(machine, str):
        return entry(change, Status.FAILED, machine)
    return await _served(job.actor, change, machine, is_starting=True)


async def _update(job: _Job, change: Change) -> Entry:
    target = _target(change)
    async with _lease(job, change) as lease:
        live = await _settled_under_lease(job.actor, target)
        if objection := _objection(live, change) or _fenced(live, change, job.options):
            return objection
        if live.metadata.get(marks.APPLIED) != change.expected_applied or _has_moved(live, change):
            if live.metadata.get(marks.APPLIED) == change.desired_digest:
                return entry(change, Status.DONE, "another apply had done it", machine=live)
            return entry(change, Status.FAILED, "changed since it was planned; plan again")
        if not await _is_ready_for_update(job, lease, live, change):
            return entry(change, Status.FAILED, f"did not stop within {_STOP_TIMEOUT_S:.0f} s")
        machine = await update_machine(job.actor, lease, live, change, stack=job.stack, revision=job.options.revision)
        is_starting = change.kind is PoolKind.SERVICE and machine.state.is_resting and not _may_rest(change)
        if is_starting:
            await _send_start(job.actor, lease, machine)
    return await _served(job.actor, change, machine, is_starting=is_starting)


async def _is_ready_for_update(job: _Job, lease: HeldLease, live: Machine, change: Change) -> bool:
    """Stop a service that becomes a task: an update of a machine that runs would start the task."""
    if change.kind is PoolKind.SERVICE or live.state.is_resting:
        return True
    return await stop_and_wait(job.actor, lease, live, timeout_s=_STOP_TIMEOUT_S) is not None


async def _start(job: _Job, change: Change) -> Entry:
    async with _lease(job, change) as lease:
        live = await _settled_under_lease(job.actor, _target(change))
        if objection := _unreachable(live, change) or _fenced(live, change, job.options):
            return objection
        is_starting = live.state.is_resting
        if is_starting:
            await _send_start(job.actor, lease, live)
    return await _served(job.actor, change, live, is_starting=is_starting)


async def _send_start(actor: Actor, lease: HeldLease, machine: Machine) -> None:
    """Starts a service's machine; one that settles still is asked again until it starts, while the lease is ours."""
    while True:
        try:
            await actor.client.start_machine(machine.app, machine.id, nonce=lease.guard(START_TIMEOUT_S))
            return
        except ApiError as error:
            if error.kind is not ApiErrorKind.SETTLING:
                raise
            await actor.clock.sleep(1.0)


async def _destroy(job: _Job, change: Change) -> Entry:
    ended, _machine = await _take_away(job, change)
    return ended


async def _take_away(job: _Job, change: Change, *, frees_name: bool = False) -> tuple[Entry, Machine]:
    """Destroys the machine; how that ended, and the machine as it was under the lease.

    One that is on its way out is gone; its name is free only once it is destroyed, and `frees_name` waits for that.
    """
    target = _target(change)
    async with _lease(job, change) as lease:
        live = await _settled_under_lease(job.actor, target)
        if live.state.is_gone:
            return entry(change, Status.DONE, "was gone already"), live
        if unreachable := _unreachable(live, change):
            return unreachable, live
        is_forced = job.options.force or kind_of(live, declared=change.kind) is PoolKind.SERVICE
        if not is_forced and not live.state.is_resting:
            return _busy(change, live), live
        if (live.metadata.get(marks.STACK), live.metadata.get(marks.SLOT)) != (job.stack, change.slot.name):
            return entry(change, Status.FAILED, "no longer carries this stack's marks; left alone"), live
        if objection := _fenced(live, change, job.options):
            return objection, live
        await hand_over(job.actor, lease, live, change, job.options)
        try:
            await _send_destroy(job.actor, lease, live, force=is_forced)
        except ApiError as error:
            if error.kind is ApiErrorKind.STILL_RUNNING:
                return _busy(change, live), live
            raise
        lease.doubt()  # nobody can write to it any more, and a release would find no machine
        gone = await wait_until(
            job.actor,
            live,
            lambda seen: seen.state.is_gone,
            states=(MachineState.DESTROYED,),
            timeout_s=_GONE_TIMEOUT_S,
            version=live.instance_id if frees_name else None,
        )
    if gone is None:
        return entry(change, Status.UNKNOWN, f"not gone after {_GONE_TIMEOUT_S:.0f} s"), live
    return entry(change, Status.DONE), live


async def _send_destroy(actor: Actor, lease: HeldLease, live: Machine, *, force: bool) -> None:
    """Sends the destroy; after a lost reply it is sent again only if the machine is seen to live on."""
    for is_last in (False, True):
        try:
            await actor.client.delete_machine(live.app, live.id, nonce=lease.guard(), force=force)
            return
        except ApiError as error:
            if error.kind is ApiErrorKind.NOT_FOUND:
                return
            if not error.is_unclear or is_last:
                raise
        if (await read_machine(actor, live)).state.is_gone:
            return


async def _replace(job: _Job, change: Change) -> Entry:
    destroyed, before = await _take_away(job, change, frees_name=True)
    if destroyed.status is not Status.DONE:
        return destroyed
    return await _create(job, change, carried=before)


def _lease(job: _Job, change: Change):  # type: ignore[no-untyped-def]
    assert change.machine_id is not None
    return hold_lease(
        job.actor,
        change.slot.app,
        change.machine_id,
        verb="apply",
        ttl_s=APPLY_TTL_S,
        patience_s=job.options.lock_timeout_s,
    )


async def _settled_under_lease(actor: Actor, target: Machine) -> Machine:
    live = await read_machine(actor, target)
    if live.state.is_settling:
        live = await wait_settled(actor, live) or live
    return live


def _objection(live: Machine, change: Change) -> Entry | None:
    """Why the planned update must not be sent to the machine as it is now."""
    if live.state.is_gone:
        return entry(change, Status.FAILED, "destroyed by someone else since it was planned; plan again")
    if unreachable := _unreachable(live, change):
        return unreachable
    if kind_of(live, declared=change.kind) is PoolKind.TASK and not live.state.is_resting:
        return _busy(change, live)
    return None


def _unreachable(live: Machine, change: Change) -> Entry | None:
    """Why nothing may be concluded of the machine, and so nothing be written to it."""
    if live.is_observable:
        return None
    return entry(change, Status.FAILED, f"unreachable: it cannot be observed (host {live.host_status.value})")


def _fenced(live: Machine, change: Change, options: Options) -> Entry | None:
    """Why an apply of an older revision must not touch the machine."""
    applied = parse_revision(live.metadata.get(marks.REVISION, ""))
    ours = options.revision
    if applied is None or ours is None or options.allow_rollback or not applied.is_newer_than(ours):
        return None
    return entry(change, Status.FAILED, f"{applied.words}, newer than {ours.words}, was applied to it")


def _busy(change: Change, live: Machine) -> Entry:
    return entry(change, Status.DEFERRED, f"a run is in progress (state {live.state.value})", machine=live)


async def _served(actor: Actor, change: Change, machine: Machine, *, is_starting: bool) -> Entry:
    """Done, for a service only once it runs and its checks pass."""
    if change.kind is PoolKind.SERVICE and not (_may_rest(change) and change.action is not Action.CREATE):
        problem = await wait_ready(actor, machine, is_starting=is_starting)
        if problem:
            return entry(change, Status.FAILED, problem, machine=machine)
    return entry(change, Status.DONE, machine=machine)


def _target(change: Change) -> Machine:
    assert change.machine_id is not None
    return Machine(
        app=change.slot.app,
        id=change.machine_id,
        name=change.slot.name,
        state=change.machine_state or MachineState.UNKNOWN,
        region=change.slot.region,
        instance_id="",
        config=None,
    )


def _may_rest(change: Change) -> bool:
    return change.desired is not None and change.desired.may_rest


def _has_moved(live: Machine, change: Change) -> bool:
    """Whether the config is another than the one that was planned for; one run's own passes, and is no such change."""
    if marks.OVERRIDE in live.metadata or change.expected_digest is None:
        return False
    return _digest(live) != change.expected_digest


def _digest(machine: Machine) -> str:
    return live_digest(machine.config or MachineConfig(document={}))


def _words(error: ApiError) -> str:
    return f"{error.message}. {error.hint}" if error.hint else error.message


def entry(change: Change, status: Status, detail: str = "", *, machine: Machine | None = None) -> Entry:
    """The end of this change."""
    machine_id = machine.id if machine else change.machine_id
    return Entry(
        slot=change.slot,
        action=change.action,
        status=status,
        detail=detail,
        machine_id=machine_id,
        address=change.address,
    )
