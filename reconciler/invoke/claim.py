"""Claim one machine: lease it, read it, start it, confirm that the start is ours.

The lease is the lock, and the start event is the proof. Two claims never get the same machine: a start under someone
else's lease is refused, and a start that found the machine running is not ours. The caller limits the time: it cancels
a claim that takes too long, and its Progress then tells whether something may run (docs/explanation/protocols.md,
section 5).
"""

from typing import Final

from msgspec import Struct

from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError, ReconcilerError, StartUnclearError
from reconciler.invoke.claim_record import ClaimRecord
from reconciler.invoke.claim_request import Announcement, Claim, Claimant, Refusal, Unconfirmed, read_cause, refusal_of
from reconciler.invoke.outcome import first_start, newer_than
from reconciler.invoke.pool_cache import pool_machines
from reconciler.invoke.prepare import declared_config, prepare
from reconciler.model.machine import Event, Machine, MachineState
from reconciler.model.run import NeverStarted
from reconciler.slots.context import Context, new_ulid
from reconciler.slots.lease import CLAIM_TTL_S, START_TIMEOUT_S, HeldLease, hold_lease
from reconciler.slots.run_records import newest_record
from reconciler.slots.update_error import UpdateFailedError
from reconciler.slots.wait import read_machine

_RESTING_STATES: Final = {state.value for state in MachineState if state.is_resting}
_CONFIRM_S: Final = 3.0
_POLL_S: Final = 0.2
_SETTLE_POLL_S: Final = 1.0
_REFUSED_WITHIN_S: Final = 1.0


class _Starting(Struct, kw_only=True):
    """A start under way.

    `is_in_doubt` is set once the reply to a start was unclear: from then on no other machine may be started instead.
    """

    claimant: Claimant
    lease: HeldLease
    live: Machine
    run_ulid: str
    fence: str | None
    may_settle: bool
    is_in_doubt: bool = False

    def tell_flight(self, is_under_way: bool) -> None:
        """Note that a start is sent, or that it certainly had no effect.

        An earlier start that is in doubt stays in doubt.
        """
        if is_under_way or not self.is_in_doubt:
            # If the claim is cancelled now, the lease is left to expire: nobody else may start before this start shows.
            self.lease.doubt() if is_under_way else self.lease.settle()
            self.tell(Unconfirmed(run_ulid=self.run_ulid, machine=self.live, why="") if is_under_way else None)

    def tell(self, sent: Unconfirmed | None) -> None:
        self.claimant.progress.sent = sent

    def unclear(self, error: ReconcilerError) -> StartUnclearError:
        return StartUnclearError(f"it is unknown whether {self.live.name} was started: {error.message}")


async def claim(claimant: Claimant, machine: Machine, *, may_settle: bool) -> Claim | Refusal:
    """Lease, check and start the machine.

    With `may_settle`, wait for a machine that the platform still prepares. A lease that someone else holds is a
    Refusal. Raises ApiError and LeaseLostError.
    """
    claimant.progress.doing = f"leasing {machine.name}"
    try:
        async with hold_lease(claimant.context, machine.app, machine.id, verb="invoke", ttl_s=CLAIM_TTL_S) as lease:
            return await claim_under(claimant, lease, machine, may_settle=may_settle)
    except ApiError as error:
        return refusal_of(error)


async def claim_under(
    claimant: Claimant,
    lease: HeldLease,
    machine: Machine,
    *,
    may_settle: bool,
    announcement: Announcement | None = None,
) -> Claim | Refusal:
    """Check and start the machine under a lease that we hold.

    `announcement` is written right before the start. Raises ApiError, LeaseLostError and StartUnclearError.
    """
    context, progress = claimant.context, claimant.progress
    try:
        progress.doing = f"looking at {machine.name}"
        live = await read_machine(context, machine)
        claimant.known.see(live)
        refusal = _refusal(live, claimant)
        if refusal:
            return refusal
        newest = newest_record(live.metadata)
        run_ulid = new_ulid(context.clock.now(), after=newest.ulid if newest else "")
        progress.doing = f"updating {live.name} to the config of this run"
        ready = await prepare(claimant, lease, live, run_ulid)
        if isinstance(ready, Refusal):
            return ready
        fence = await _fence(context, ready)
        if isinstance(fence, Refusal):
            return fence
        starting = _Starting(
            claimant=claimant, lease=lease, live=ready, run_ulid=run_ulid, fence=fence, may_settle=may_settle
        )
        return await _start(starting, announcement)
    except UpdateFailedError as error:
        return Refusal(why=error.message, is_broken=True)


async def _fence(context: Context, live: Machine) -> str | Refusal | None:
    """Return the id of the newest event; None if there are no events.

    An invalid event is not used as a fence: an older start would pass for ours.
    """
    events = live.events or await context.client.list_events(live.app, live.id, limit=1)
    if live.not_understood or (events and not events[0].id):
        return Refusal(why=f"the events of {live.name} are invalid", is_broken=True)
    return events[0].id if events else None


def _refusal(live: Machine, claimant: Claimant) -> Refusal | None:
    if not live.is_observable:
        cause = NeverStarted.HOST if live.is_dark else None
        return Refusal(why=f"{live.name} is {live.doubt}", is_broken=True, cause=cause)
    if not pool_machines([live], claimant.stack, claimant.pool.name):
        return Refusal(why=f"{live.name} no longer belongs to this pool")
    if not live.state.is_resting:
        return Refusal(why=f"{live.name} is {live.state.value}")
    return None


async def _start(starting: _Starting, announcement: Announcement | None) -> Claim | Refusal:
    """Record the run and start it.

    Afterwards the record is taken back, unless the start may have had its effect.
    """
    progress = starting.claimant.progress
    progress.doing = f"starting {starting.live.name}"
    record = ClaimRecord(
        claimant=starting.claimant,
        lease=starting.lease,
        live=starting.live,
        run_ulid=starting.run_ulid,
        fence=starting.fence,
        announcement=announcement,
    )
    try:
        await record.write()
        return await _start_recorded(starting)
    finally:
        if progress.sent is None:
            await record.take_back()


async def _start_recorded(starting: _Starting) -> Claim | Refusal:
    claimant, live = starting.claimant, starting.live
    for is_again in (False, True, True):
        if is_again and _left_s(starting) < _CONFIRM_S + _REFUSED_WITHIN_S:
            break  # too late to see whether another start took effect
        sent = await _send_start(starting)
        if isinstance(sent, Refusal):
            return sent
        seen, start = await _confirm(starting)
        if start is not None:
            starting.lease.settle()
            claimant.progress.is_confirmed = True
            return Claim(run_ulid=starting.run_ulid, machine=seen, start=start, declared=declared_config(claimant))
    if starting.is_in_doubt:
        raise StartUnclearError(
            f"it is unknown whether {live.name} was started: it is at rest, and its events show no start"
        )
    starting.tell(None)
    why = f"{live.name} accepted the start and did not start"
    found = await read_cause(claimant.context, live)
    if found is None:
        return Refusal(why=why, is_broken=True)
    return Refusal(why=f"{why}: {found[0]}", is_broken=True, cause=found[1])


async def _send_start(starting: _Starting) -> Refusal | None:
    """Send the start until it is answered.

    Return None if the start may be ours, which its event must confirm.
    """
    context, live = starting.claimant.context, starting.live
    while True:
        try:
            nonce = starting.lease.guard(START_TIMEOUT_S)
            previous = await context.client.start_machine(
                live.app, live.id, nonce=nonce, on_flight=starting.tell_flight
            )
        except ApiError as error:
            if error.is_unclear:
                starting.is_in_doubt = True
                return None
            if starting.is_in_doubt:
                raise starting.unclear(error) from error
            if error.kind is not ApiErrorKind.SETTLING:
                raise
            if not starting.may_settle:
                return Refusal(why=error.message, is_settling=True)
            starting.claimant.progress.doing = f"waiting until {live.name} can be started ({error.message})"
            await context.clock.sleep(_pause_s(starting))
            continue
        except LeaseLostError as error:
            if starting.is_in_doubt:
                raise starting.unclear(error) from error
            raise
        if not starting.is_in_doubt:
            starting.lease.settle()
        # Proxy and scheduler start machines without a lease (assumption A12); this call then did nothing (A9).
        if previous is not None and previous not in _RESTING_STATES and not starting.is_in_doubt:
            starting.tell(None)
            return Refusal(why=f"{live.name} was {previous} already")
        return None


def _pause_s(starting: _Starting) -> float:
    """Return the seconds until the next start.

    No start is sent so late that its answer could miss the deadline: it would be unknown whether the task runs.
    """
    left_s = _left_s(starting)
    return _SETTLE_POLL_S if left_s >= _SETTLE_POLL_S + _REFUSED_WITHIN_S else left_s + _REFUSED_WITHIN_S


def _left_s(starting: _Starting) -> float:
    return starting.claimant.progress.until - starting.claimant.context.clock.monotonic()


async def _confirm(starting: _Starting) -> tuple[Machine, Event | None]:
    """Return the machine and its start event newer than the fence.

    No event if the start was dropped or never arrived. Raises StartUnclearError if that cannot be known any more.
    """
    context, live = starting.claimant.context, starting.live
    starting.claimant.progress.doing = f"looking for the start of {live.name} among its events"
    looked_at: float | None = None
    while True:
        try:
            seen = await read_machine(context, live)
            newer = newer_than(seen.events, starting.fence)
            if newer is None or "events" in seen.not_understood:
                newer = newer_than(await context.client.list_events(live.app, live.id, limit=50), starting.fence)
        except ApiError as error:
            if not error.is_passing:
                raise starting.unclear(error) from error
            await context.clock.sleep(_SETTLE_POLL_S)
            continue
        looked_at = looked_at or context.clock.monotonic()
        start = first_start(newer or ())
        if start is not None:
            return seen, start
        if seen.state.is_gone:
            raise StartUnclearError(f"it is unknown whether {live.name} was started: it was destroyed")
        if _never_began(seen, newer) and context.clock.monotonic() - looked_at >= _CONFIRM_S:
            return seen, None
        await context.clock.sleep(_POLL_S)


def _never_began(seen: Machine, newer: tuple[Event, ...] | None) -> bool:
    """Return whether the machine is at rest and has not run since the fence.

    An exit shows that it ran; an event that is not understood may hide that.
    """
    may_tell = newer is None or any(event.exit is not None or not event.type for event in newer)
    return seen.state.is_resting and not may_tell
