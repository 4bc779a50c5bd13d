"""Describe a claim: who wants a machine, what it got, or why it was refused."""

import asyncio
import random
from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct, field

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.invoke.absence import LOST_AFTER_S
from reconciler.invoke.outcome import never_started, refused
from reconciler.invoke.pool_cache import KnownPool
from reconciler.machines_api.errors import classify_log, shorten
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Event, Machine, MachineState
from reconciler.model.run import NeverStarted, Outcome
from reconciler.model.run_policy import Override, objection_to
from reconciler.model.spec import Pool
from reconciler.slots.context import Context
from reconciler.slots.log_reader import LogReader

_HELD: Final = {
    ApiErrorKind.LEASE_HELD,
    ApiErrorKind.CONCURRENT_UPDATE,
    ApiErrorKind.STALE_VERSION,
    ApiErrorKind.REPLACED,
}
_LOG_PATIENCE_S: Final = 3.0
_CAUSES: Final = {
    ApiErrorKind.CAPACITY: NeverStarted.CAPACITY,
    ApiErrorKind.HOST_MAINTENANCE: NeverStarted.HOST,
    ApiErrorKind.IMAGE_NOT_READY: NeverStarted.IMAGE,
    ApiErrorKind.QUOTA: NeverStarted.QUOTA,
}


class Announcement(Protocol):
    """What a claim with an idempotency key writes elsewhere before its start."""

    async def write(self, run_ulid: str) -> None:
        """Write it. If that fails, nothing may be started."""
        ...

    async def take_back(self) -> None:
        """Restore what was there before: nothing was started."""
        ...


class Claim(Struct, frozen=True, kw_only=True):
    """A machine that runs for us, as last seen.

    `start` is the event of our start: only newer events belong to the run. `declared` is the spec's config, which is
    restored after a run with overrides.
    """

    run_ulid: str
    machine: Machine
    start: Event
    declared: MachineConfig | None = None

    @property
    def run_id(self) -> str:
        """Return the id of the run: `<slot>/<ULID>`."""
        return f"{self.machine.name}/{self.run_ulid}"


class Unconfirmed(Struct, frozen=True, kw_only=True):
    """A run whose start was sent, with unclear effect. Its record is on the machine."""

    run_ulid: str
    machine: Machine
    why: str

    @property
    def run_id(self) -> str:
        """Return the id of the run: `<slot>/<ULID>`."""
        return f"{self.machine.name}/{self.run_ulid}"


class Progress(Struct, kw_only=True):
    """How far a claim has got, for the caller that cancels it.

    `doing` says what it waits for, in words. `sent` is the run whose start may have had its effect. The claim is
    cancelled at `until`, on the monotonic clock.
    """

    doing: str = "asking for a machine"
    until: float = float("inf")
    sent: Unconfirmed | None = None
    is_confirmed: bool = False

    def begin(self) -> None:
        """Forget the start of the claim before."""
        self.sent, self.is_confirmed = None, False


class Refusal(Struct, frozen=True, kw_only=True):
    """Why this machine was not claimed; another one may be."""

    why: str
    needs_apply: bool = False
    is_settling: bool = False  # it is still being prepared, and can be started in a moment
    is_held: bool = False  # someone else has its lease, or changes it
    is_broken: bool = False  # it did not start; another try may succeed
    is_in_doubt: bool = False  # the wanted run may be running there: it must not be started elsewhere
    is_final: bool = False  # no machine of the pool would start
    cause: NeverStarted | None = None  # what kept it from starting
    error: ApiError | None = None  # the API failed before the start; another try may succeed


class Claimant(Struct, frozen=True, kw_only=True):
    """One invoke that wants a machine of a pool. `stop` cancels it.

    `known` holds the machines of the pool as last seen. `number` is random, so that claimants begin with different
    machines.
    """

    context: Context
    stack: str
    pool: Pool
    known: KnownPool
    start_timeout_s: float
    timeout_s: float | None = None
    lost_after_s: float = LOST_AFTER_S
    key: str = ""  # the hash of an idempotency key
    override: Override = field(default_factory=Override)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    rng: random.Random = field(default_factory=random.SystemRandom)
    progress: Progress = field(default_factory=Progress)
    number: int = field(default_factory=lambda: random.SystemRandom().randrange(1 << 16))


def out_of_reach(claimant: Claimant) -> Outcome | None:
    """Return the outcome if the pool has no machine that can be reached, else None."""
    known, pool = claimant.known, claimant.pool
    if any(machine.is_observable for machine in known.machines):
        return None
    if dark := known.unreachable([slot.name for slot in pool.slots]):
        names = ", ".join(sorted(machine.name or "one without a name" for machine in dark))
        if not all(machine.is_dark for machine in dark):
            return never_started(
                f"the platform's answer about the machines of task {pool.name} is not understood: {names}"
            )
        why = f"all machines of task {pool.name} are unreachable, their hosts are down: {names}"
        return never_started(why, cause=NeverStarted.HOST)
    return refused(
        f"task {pool.name} has no machines in app {pool.app}", remedy="run `reconciler apply` first: it makes them"
    )


def candidates(claimant: Claimant) -> list[Machine]:
    """Return the machines to try: at rest, in random order, those that failed last."""
    resting = [machine for machine in claimant.known.untried if machine.state.is_resting and machine.is_observable]
    claimant.rng.shuffle(resting)
    return sorted(resting, key=lambda machine: _unlikeliness(machine.state))


def _unlikeliness(state: MachineState) -> int:
    return {MachineState.STOPPED: 0, MachineState.SUSPENDED: 1, MachineState.CREATED: 2}.get(state, 3)


def refusal_of(error: ApiError) -> Refusal:
    """Return an error as a refusal of this machine.

    Raise it if it concerns more than this machine.
    """
    if error.kind is ApiErrorKind.NOT_FOUND:
        return Refusal(why=error.message)
    if error.kind in _HELD:
        return Refusal(why=error.message, is_held=True)
    if error.kind is ApiErrorKind.SETTLING:
        return Refusal(why=error.message, is_settling=True)
    if error.is_passing:
        return Refusal(why=error.message, error=error)
    cause = cause_of(error)
    if cause in {NeverStarted.CAPACITY, NeverStarted.HOST, NeverStarted.IMAGE}:
        return Refusal(why=error.message, is_broken=True, cause=cause)
    if cause or error.kind is ApiErrorKind.BAD_INPUT:
        return Refusal(why=error.message, is_final=True, cause=cause)
    raise error


def cause_of(error: ApiError) -> NeverStarted | None:
    """Return what kept the machine from starting.

    None if the error has another cause.
    """
    return _CAUSES.get(error.kind)


async def read_cause(context: Context, machine: Machine) -> tuple[str, NeverStarted] | None:
    """Return the platform's message in the machine's log, and its meaning.

    Only lines since the machine's newest event count. None if there is no such message.
    """
    since_ms = machine.events[0].timestamp_ms if machine.events else 0
    try:
        lines = await LogReader(context, machine, since_ms=since_ms).read_within(_LOG_PATIENCE_S)
    except ApiError:
        return None
    for line in reversed(lines):
        kind = classify_log(line.message) if line.provider != "app" else None
        if kind in _CAUSES:
            return shorten(line.message), _CAUSES[kind]
    return None


def turned_to(machines: Sequence[Machine], claimant: Claimant, rounds: int) -> Machine | None:
    """Return the machine to wait for in this round; each claimant has its own order."""
    ordered = sorted(machines, key=lambda machine: machine.id)
    return ordered[(claimant.number + rounds) % len(ordered)] if ordered else None


def objection(claimant: Claimant) -> Outcome | None:
    """Return the refusal of a run with overrides, else None.

    The `overrides` that were applied decide, not those of the spec file.
    """
    if not claimant.override.is_any:
        return None
    policy = claimant.known.run_policy
    if policy is None:
        return refused(
            f"the `overrides` of task {claimant.pool.name} were not applied yet", remedy="run `reconciler apply` first"
        )
    why = objection_to(claimant.override, policy)
    remedy = "allow it with `overrides` in the spec, and apply"
    return refused(f"task {claimant.pool.name}: {why}", remedy=remedy) if why else None
