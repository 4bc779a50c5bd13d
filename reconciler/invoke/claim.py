"""Claiming one machine: lease it, look under the lease, start it, and make sure that the start was ours.

The lease is the lock and the start event is the proof. Two claims never share a machine: a start under someone else's
lease is refused, and a start that found the machine running already is not ours.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError, ReconcilerError, StartUnclearError
from reconciler.invoke.causes import read_cause
from reconciler.invoke.claimant import Announce, Claim, Claimant, Refusal, refusal_of
from reconciler.invoke.history import start_of
from reconciler.invoke.known import pool_machines
from reconciler.invoke.outcome import first_start, newer_than
from reconciler.invoke.prepare import declared_config, prepare
from reconciler.model.machine import Event, Exit, Machine, MachineState
from reconciler.model.run import NeverStarted
from reconciler.slots.confirm import read_machine
from reconciler.slots.lease import CLAIM_TTL_S, START_TIMEOUT_S, HeldLease, hold_lease
from reconciler.slots.run_records import RunRecord, newest_record, next_key
from reconciler.slots.run_starts import final_exit
from reconciler.slots.ulid import new_ulid
from reconciler.slots.update import UpdateFailedError

_RESTING_STATES: Final = {state.value for state in MachineState if state.is_resting}
_CONFIRM_S: Final = 3.0
_UNSEEN_PATIENCE_S: Final = 60.0
_POLL_S: Final = 0.2
_SETTLE_POLL_S: Final = 1.0
_RESTARTS_OF_A_DROPPED_START: Final = 3


@dataclass(slots=True, kw_only=True)
class _Starting:
    """A start under way. `is_in_doubt` once one was sent whose reply is unclear: from then on nothing else may run."""

    claimant: Claimant
    lease: HeldLease
    live: Machine
    fence: str | None
    may_settle: bool
    deadline: float
    is_in_doubt: bool = False

    def unclear(self, error: ReconcilerError) -> StartUnclearError:
        return StartUnclearError(f"whether {self.live.name} was started cannot be learnt: {error.message}")


async def claim(claimant: Claimant, machine: Machine, *, may_settle: bool) -> Claim | Refusal:
    """Leases, checks and starts the machine. With `may_settle`, waits for one that is still being prepared.

    Raises ApiError and LeaseLostError; a lease held by someone else is a Refusal.
    """
    try:
        async with hold_lease(claimant.actor, machine.app, machine.id, verb="invoke", ttl_s=CLAIM_TTL_S) as lease:
            return await claim_under(claimant, lease, machine, may_settle=may_settle)
    except ApiError as error:
        return refusal_of(error)


async def claim_under(
    claimant: Claimant,
    lease: HeldLease,
    machine: Machine,
    *,
    may_settle: bool,
    announce: Announce | None = None,
) -> Claim | Refusal:
    """Checks and starts the machine under a lease that is held. `announce` gets the run's ULID right before the start.

    Raises ApiError and LeaseLostError.
    """
    actor = claimant.actor
    try:
        live = await read_machine(actor, machine)
        claimant.known.see(live)
        refusal = _refusal(live, claimant)
        if refusal:
            return refusal
        run_ulid = new_ulid(actor.clock.now())
        ready = await prepare(claimant, lease, live, run_ulid)
        if isinstance(ready, Refusal):
            return ready
        return await _start(claimant, lease, ready, run_ulid, may_settle=may_settle, announce=announce)
    except UpdateFailedError as error:
        return Refusal(why=error.message, is_broken=True)


def _refusal(live: Machine, claimant: Claimant) -> Refusal | None:
    if not live.is_observable:
        return Refusal(why=f"{live.name} is unreachable: its host is down", is_broken=True, cause=NeverStarted.HOST)
    if not pool_machines([live], claimant.stack, claimant.pool.name):
        return Refusal(why=f"{live.name} is no longer of this pool")
    if not live.state.is_resting:
        return Refusal(why=f"{live.name} is {live.state.value}")
    return None


async def _start(
    claimant: Claimant,
    lease: HeldLease,
    live: Machine,
    run_ulid: str,
    *,
    may_settle: bool,
    announce: Announce | None,
) -> Claim | Refusal:
    fence = live.events[0].id if live.events else None
    await _write_record(claimant, lease, live, run_ulid, fence)
    if announce:
        await announce(run_ulid)
    starting = _Starting(
        claimant=claimant,
        lease=lease,
        live=live,
        fence=fence,
        may_settle=may_settle,
        deadline=claimant.actor.clock.monotonic() + claimant.start_timeout_s,
    )
    for _ in range(_RESTARTS_OF_A_DROPPED_START):
        sent = await _send_start(starting)
        if isinstance(sent, Refusal):
            return sent
        seen, start = await _confirm(starting)
        if start is not None:
            return Claim(run_ulid=run_ulid, machine=seen, start=start, declared=declared_config(claimant))
    why = f"{live.name} accepted the start and did not start"
    found = await read_cause(claimant.actor, live)
    if found is None:
        return Refusal(why=why, is_broken=True)
    return Refusal(why=f"{why}: {found[0]}", is_broken=True, cause=found[1])


async def _write_record(claimant: Claimant, lease: HeldLease, live: Machine, run_ulid: str, fence: str | None) -> None:
    """Says whose the next start is. Before the start, so that a claimer who died before his own is voided by ours."""
    previous = newest_record(live.metadata)
    if previous and previous.fence == (fence or ""):
        claimant.actor.emit(f"{live.name}: an earlier claim died before its start; taking over")
    bound_s = claimant.timeout_s
    deadline = claimant.actor.clock.now() + timedelta(seconds=bound_s) if bound_s else None
    record = RunRecord(
        ulid=run_ulid,
        fence=fence or "",
        who=claimant.actor.who,
        deadline=deadline,
        key=claimant.key,
        previous=_end_of(previous, live) if previous else None,
    )
    lease.guard()
    await claimant.actor.client.set_metadata(live.app, live.id, next_key(live.metadata), record.to_text())


def _end_of(previous: RunRecord, live: Machine) -> Exit | None:
    """How the run of the record before ours ended, as far as the machine's events reach."""
    start = start_of(previous, live.events, live)
    newer = newer_than(live.events, start.id) if start else None
    exited = final_exit(newer) if newer else None
    return exited.exit if exited else None


async def _send_start(starting: _Starting) -> Refusal | None:
    """Sends the start until it is answered; None where a start may be ours, to be confirmed by its event."""
    actor, live = starting.claimant.actor, starting.live
    while True:
        try:
            nonce = starting.lease.guard(START_TIMEOUT_S)
            previous = await actor.client.start_machine(live.app, live.id, nonce=nonce)
        except ApiError as error:
            if error.is_unclear:
                starting.is_in_doubt = True
                return None
            if starting.is_in_doubt:
                raise starting.unclear(error) from error
            if error.kind is not ApiErrorKind.SETTLING:
                raise
            is_over = starting.claimant.stop.is_set() or actor.clock.monotonic() >= starting.deadline
            if not starting.may_settle or is_over:
                return Refusal(why=error.message, is_settling=True)
            await actor.clock.sleep(_SETTLE_POLL_S)
            continue
        except LeaseLostError as error:
            if starting.is_in_doubt:
                raise starting.unclear(error) from error
            raise
        if previous is not None and previous not in _RESTING_STATES and not starting.is_in_doubt:
            return Refusal(why=f"{live.name} was {previous} already")
        return None


async def _confirm(starting: _Starting) -> tuple[Machine, Event | None]:
    """The machine and its start event newer than the fence; no event where the start was dropped, or never arrived.

    Raises StartUnclearError where it cannot be looked at for too long.
    """
    actor, live = starting.claimant.actor, starting.live
    began = actor.clock.monotonic()
    looked_at: float | None = None
    while True:
        try:
            seen = await read_machine(actor, live)
            newer = newer_than(seen.events, starting.fence)
            if newer is None:
                newer = newer_than(await actor.client.list_events(live.app, live.id, limit=50), starting.fence)
        except ApiError as error:
            if not error.is_passing or actor.clock.monotonic() - began > _UNSEEN_PATIENCE_S:
                raise starting.unclear(error) from error
            await actor.clock.sleep(_SETTLE_POLL_S)
            continue
        looked_at = looked_at or actor.clock.monotonic()
        start = first_start(newer or ())
        if start is not None or (seen.state.is_resting and actor.clock.monotonic() - looked_at >= _CONFIRM_S):
            return seen, start
        await actor.clock.sleep(_POLL_S)
