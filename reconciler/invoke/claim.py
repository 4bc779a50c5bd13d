"""Claiming one machine: lease it, look under the lease, start it, and make sure that the start was ours.

The lease is the lock and the start event is the proof. Two claims never share a machine: a start under someone else's
lease is refused, and a start that found the machine running already is not ours.
"""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeAlias

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.invoke.causes import cause_of, read_cause
from reconciler.invoke.history import start_of
from reconciler.invoke.known import KnownPool, pool_machines
from reconciler.invoke.outcome import final_exit, first_start, newer_than
from reconciler.invoke.record import RunRecord, newest_record, next_key
from reconciler.model import marks
from reconciler.model.machine import Event, Exit, Machine, MachineState
from reconciler.model.plan import Action, Change
from reconciler.model.revision import parse_revision
from reconciler.model.run import NeverStarted
from reconciler.model.spec import Pool
from reconciler.model.terms import Override
from reconciler.planner import digest_of, live_digest
from reconciler.slots.actor import Actor
from reconciler.slots.confirm import read_machine, wait_until
from reconciler.slots.lease import CLAIM_TTL_S, START_TIMEOUT_S, HeldLease, hold_lease
from reconciler.slots.override import put_override, restore
from reconciler.slots.ulid import new_ulid
from reconciler.slots.update import UpdateFailedError, update_machine

_RESTING_STATES: Final = {state.value for state in MachineState if state.is_resting}
_CONFIRM_S: Final = 3.0
_POLL_S: Final = 0.2
_SETTLE_POLL_S: Final = 1.0
_RESTARTS_OF_A_DROPPED_START: Final = 3


Announce: TypeAlias = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A machine that runs for us, as last seen. `start` is the event of our start: only what is newer is of the run."""

    run_ulid: str
    machine: Machine
    start: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why this machine was not claimed; another one may be. `is_settling` where a moment's patience may help."""

    why: str
    needs_apply: bool = False
    is_settling: bool = False
    is_held: bool = False  # someone else has its lease
    is_broken: bool = False  # it does not start here now, and another try may
    is_final: bool = False  # no machine of the pool would start
    cause: NeverStarted | None = None  # what kept it from starting


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """Who wants a machine of which pool, and until when it may take to start. `stop` ends the wanting.

    `known` is where the machines of the pool were last seen; `number` tells waiters apart.
    """

    actor: Actor
    stack: str
    pool: Pool
    known: KnownPool
    start_timeout_s: float
    timeout_s: float | None = None
    key: str = ""  # the hash of an idempotency key
    override: Override = field(default_factory=Override)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    rng: random.Random = field(default_factory=random.SystemRandom)
    number: int = field(default_factory=lambda: secrets.randbelow(1 << 16))


def candidates(claimant: Claimant) -> list[Machine]:
    """The machines worth trying, the likeliest first: ours and at rest, failed ones last, else in random order."""
    resting = [machine for machine in claimant.known.machines if machine.state.is_resting and machine.is_observable]
    claimant.rng.shuffle(resting)
    return sorted(resting, key=lambda machine: _unlikeliness(machine.state))


def _unlikeliness(state: MachineState) -> int:
    return {MachineState.STOPPED: 0, MachineState.SUSPENDED: 1, MachineState.CREATED: 2}.get(state, 3)


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
        updated = await _bring_up_to_date(claimant, lease, live)
        if isinstance(updated, Refusal):
            return updated
        live = updated
        if live.state is MachineState.SUSPENDED:
            live = await _discard_snapshot(actor, lease, live)
        run_ulid = new_ulid(actor.clock.now())
        live = await _made_its_own(claimant, lease, live, run_ulid)
        return await _start(claimant, lease, live, run_ulid, may_settle=may_settle, announce=announce)
    except UpdateFailedError as error:
        return Refusal(why=error.message, is_broken=True)


def refusal_of(error: ApiError) -> Refusal:
    """What an error says of this one machine. Raises the error where it says more."""
    if error.kind in {ApiErrorKind.LEASE_HELD, ApiErrorKind.NOT_FOUND}:
        return Refusal(why=error.message, is_held=error.kind is ApiErrorKind.LEASE_HELD)
    cause = cause_of(error)
    if cause in {NeverStarted.CAPACITY, NeverStarted.HOST, NeverStarted.IMAGE}:
        return Refusal(why=error.message, is_broken=True, cause=cause)
    if cause or error.kind is ApiErrorKind.BAD_INPUT:
        return Refusal(why=error.message, is_final=True, cause=cause)
    raise error


def _refusal(live: Machine, claimant: Claimant) -> Refusal | None:
    if not live.is_observable:
        return Refusal(why=f"{live.name} cannot be observed", is_broken=True, cause=NeverStarted.HOST)
    if not pool_machines([live], claimant.stack, claimant.pool.name):
        return Refusal(why=f"{live.name} is no longer of this pool")
    if not live.state.is_resting:
        return Refusal(why=f"{live.name} is {live.state.value}")
    return None


async def _bring_up_to_date(claimant: Claimant, lease: HeldLease, live: Machine) -> Machine | Refusal:
    """Applies the applied spec to a machine that was busy when it was; never a spec that was not applied."""
    want, applied = claimant.known.want, live.metadata.get(marks.APPLIED)
    wanted_digest, revision = marks.parse_want(want or "")
    if want is None or applied == wanted_digest:
        return live
    desired_digest = digest_of(claimant.pool.config)
    if desired_digest != wanted_digest:
        return Refusal(why=f"{live.name} has not been brought to the applied config yet", needs_apply=True)
    assert live.config is not None
    slot = next((slot for slot in claimant.pool.slots if slot.name == live.name), None)
    if slot is None:
        return Refusal(why=f"{live.name} is no longer in the spec", needs_apply=True)
    change = Change(
        slot=slot,
        kind=claimant.pool.kind,
        action=Action.UPDATE,
        reason="deferred by the apply",
        machine_id=live.id,
        machine_state=live.state,
        expected_digest=live_digest(live.config),
        expected_applied=applied,
        desired=claimant.pool.config,
        desired_digest=desired_digest,
        anchor=live.metadata.get(marks.ANCHOR),
        terms=claimant.pool.terms.to_text() if live.metadata.get(marks.ANCHOR) == live.name else None,
        is_protected=claimant.pool.is_protected,
    )
    return await update_machine(
        claimant.actor, lease, live, change, stack=claimant.stack, revision=parse_revision(revision or "")
    )


async def _made_its_own(claimant: Claimant, lease: HeldLease, live: Machine, run_ulid: str) -> Machine:
    """The machine with what this run has of its own, and without what an earlier one left on it."""
    declared = claimant.pool.config
    if claimant.override.is_any:
        terms = claimant.known.terms
        assert terms is not None, "an override is refused where the terms are not known"
        return await put_override(
            claimant.actor, lease, live, claimant.override, terms, ulid=run_ulid, declared=declared
        )
    if marks.OVERRIDE in live.metadata:
        return await restore(claimant.actor, lease, live, declared=declared)
    return live


async def _discard_snapshot(actor: Actor, lease: HeldLease, live: Machine) -> Machine:
    """A suspended machine would resume where it was, which is no new run; a stop throws that away."""
    await actor.client.stop_machine(live.app, live.id, nonce=lease.guard())
    stopped = await wait_until(
        actor,
        live,
        lambda seen: seen.state is MachineState.STOPPED,
        states=(MachineState.STOPPED,),
        timeout_s=CLAIM_TTL_S,
    )
    return stopped or live


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
    deadline = claimant.actor.clock.monotonic() + claimant.start_timeout_s
    for _ in range(_RESTARTS_OF_A_DROPPED_START):
        sent = await _send_start(claimant, lease, live, may_settle=may_settle, deadline=deadline)
        if isinstance(sent, Refusal):
            return sent
        seen, start = await _confirm(claimant.actor, live, fence)
        if start is not None:
            return Claim(run_ulid=run_ulid, machine=seen, start=start)
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


async def _send_start(
    claimant: Claimant, lease: HeldLease, live: Machine, *, may_settle: bool, deadline: float
) -> Refusal | None:
    """Sends the start until it is answered; None where a start may be ours, to be confirmed by its event."""
    actor = claimant.actor
    while True:
        try:
            previous = await actor.client.start_machine(live.app, live.id, nonce=lease.guard(START_TIMEOUT_S))
        except ApiError as error:
            if error.is_unclear:
                return None
            if error.kind is not ApiErrorKind.SETTLING:
                raise
            if not may_settle or claimant.stop.is_set() or actor.clock.monotonic() >= deadline:
                return Refusal(why=error.message, is_settling=True)
            await actor.clock.sleep(_SETTLE_POLL_S)
            continue
        if previous is not None and previous not in _RESTING_STATES:
            return Refusal(why=f"{live.name} was {previous} already")
        return None


async def _confirm(actor: Actor, live: Machine, fence: str | None) -> tuple[Machine, Event | None]:
    """The machine and its start event newer than the fence; no event where the start was dropped, or never arrived."""
    deadline = actor.clock.monotonic() + _CONFIRM_S
    while True:
        seen = await read_machine(actor, live)
        newer = newer_than(seen.events, fence)
        if newer is None:
            newer = newer_than(await actor.client.list_events(live.app, live.id, limit=50), fence)
        start = first_start(newer or ())
        if start is not None or (seen.state.is_resting and actor.clock.monotonic() >= deadline):
            return seen, start
        await actor.clock.sleep(_POLL_S)
