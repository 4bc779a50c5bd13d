"""Idempotency keys: the first caller with a key starts the run, every other one attaches to it.

First callers meet on one machine, the pool's anchor: what follows runs under its lease, and the server's unique names
make it one machine. The key is written there right before the start, after the run's record on the run's own machine.
So a key without a record says that the record was pushed out since, and one whose record owns no start that its caller
died before the start.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from reconciler.errors import ApiError
from reconciler.invoke.claim import claim_under
from reconciler.invoke.claimant import Claim, Claimant, Refusal, candidates, refusal_of
from reconciler.invoke.outcome import lost, refused
from reconciler.invoke.record import records_of
from reconciler.invoke.runs import FoundRun, runs_on
from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.run import Outcome, RunState
from reconciler.slots.confirm import read_machine
from reconciler.slots.lease import CLAIM_TTL_S, HeldLease, hold_lease

_KEPT: Final = 40
_KEPT_FOR: Final = timedelta(hours=24)
_CANDIDATES: Final = 3
_SEPARATOR: Final = ";"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedRun:
    """What the anchor remembers of a key: the run's ULID and slot, the digest of what was asked for, and when."""

    ulid: str
    slot: str
    digest: str
    at: datetime

    def to_text(self) -> str:
        return _SEPARATOR.join((self.ulid, self.slot, self.digest, str(int(self.at.timestamp()))))


def parse_keyed(text: str) -> KeyedRun | None:
    """The memory of a metadata value; None where it is none."""
    fields = text.split(_SEPARATOR)
    if len(fields) != 4 or not fields[3].isdigit():
        return None
    return KeyedRun(ulid=fields[0], slot=fields[1], digest=fields[2], at=datetime.fromtimestamp(int(fields[3]), UTC))


def hash_of(*parts: str) -> str:
    """Sixteen characters that stand for the parts: keys may be secret, and are never written."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def digest_of_run(claimant: Claimant) -> str:
    """What the run is, so that a key is not taken for another one's: the task, and what the run has of its own."""
    override = claimant.override
    args = ["-"] if override.args is None else ["args", *override.args]
    return hash_of(claimant.pool.app, claimant.pool.name, *args, "env", *(f"{k}={v}" for k, v in sorted(override.env)))


async def claim_keyed(claimant: Claimant) -> Claim | FoundRun | Outcome | Refusal:
    """A new run for the key, the run that it has already, its outcome where that is all there is, or why not now.

    Raises ApiError and LeaseLostError.
    """
    anchor = claimant.known.anchor
    if anchor is None or not anchor.is_observable:
        return refused(
            f"the anchor of pool {claimant.pool.name} cannot be seen, and keys are kept there",
            remedy="run `reconciler apply`, or try again once its host is back",
        )
    seen = await _attached(claimant, anchor)
    if seen is not None:
        return seen
    try:
        async with hold_lease(claimant.actor, anchor.app, anchor.id, verb="invoke", ttl_s=CLAIM_TTL_S) as lease:
            live = await read_machine(claimant.actor, anchor)
            claimant.known.see(live)
            if live.metadata.get(marks.ANCHOR) != live.name:
                return Refusal(why=f"{live.name} is no longer the anchor of its pool")
            seen = await _attached(claimant, live)
            if seen is not None:
                return seen
            return await _start_new(claimant, lease, live)
    except ApiError as error:
        return refusal_of(error)


async def _attached(claimant: Claimant, anchor: Machine) -> FoundRun | Outcome | None:
    """The run that the key has; None where it has none, or one that never started."""
    known = parse_keyed(anchor.metadata.get(marks.KEY + claimant.key, ""))
    if known is None:
        return None
    if known.digest != digest_of_run(claimant):
        return refused("this idempotency key was used for another command", remedy="use a key of its own for each")
    machine = next((one for one in claimant.known.machines if one.name == known.slot), None)
    if machine is None:
        return lost(f"the key's run was on {known.slot}, which is gone")
    live = await read_machine(claimant.actor, machine)
    if known.ulid not in {record.ulid for record in records_of(live.metadata).values()}:
        return lost("the key's run is no longer told of; it is not run a second time")
    found = await runs_on(claimant.actor, live)
    run = next((one for one in found if one.info.id == f"{known.slot}/{known.ulid}"), None)
    return None if run is None or run.info.state is RunState.NOT_STARTED else run


async def _start_new(
    claimant: Claimant, anchor_lease: HeldLease, anchor: Machine
) -> Claim | FoundRun | Outcome | Refusal:
    """Starts the run on a free machine, the anchor first; another one is never waited for under the anchor's lease.

    A caller that died between its key and its start may have that start on its way still. So its machine comes first,
    and while its lease is someone's nothing else is begun: under our lease on it the dead one's start is refused.
    """
    actor = claimant.actor

    async def claim_on(machine: Machine, lease: HeldLease) -> Claim | FoundRun | Outcome | Refusal:
        async def announce(ulid: str) -> None:
            """The key is written before the start, or nothing starts."""
            anchor_lease.guard()
            memory = KeyedRun(ulid=ulid, slot=machine.name, digest=digest_of_run(claimant), at=actor.clock.now())
            await _forget_old(claimant, anchor)
            await actor.client.set_metadata(anchor.app, anchor.id, marks.KEY + claimant.key, memory.to_text())

        seen = await _attached(claimant, anchor) if dead else None
        if seen is not None:
            return seen
        return await claim_under(claimant, lease, machine, may_settle=False, announce=announce)

    dead = parse_keyed(anchor.metadata.get(marks.KEY + claimant.key, ""))
    first = next((machine for machine in claimant.known.machines if dead and machine.name == dead.slot), anchor)
    others = [machine for machine in (anchor, *candidates(claimant)) if machine.id != first.id]
    ended: Claim | FoundRun | Outcome | Refusal = Refusal(why="none is at rest")
    for machine in [first, *others][:_CANDIDATES]:
        try:
            if machine.id == anchor.id:
                ended = await claim_on(machine, anchor_lease)
            else:
                async with hold_lease(actor, machine.app, machine.id, verb="invoke", ttl_s=CLAIM_TTL_S) as lease:
                    ended = await claim_on(machine, lease)
        except ApiError as error:
            ended = refusal_of(error)
            if dead and machine.id == first.id:
                return ended
        if not isinstance(ended, Refusal) or ended.is_final:
            return ended
    return ended


async def _forget_old(claimant: Claimant, anchor: Machine) -> None:
    """Makes room for one key more: those of yesterday go, and of too many the oldest."""
    kept = {
        key: memory
        for key, value in anchor.metadata.items()
        if key.startswith(marks.KEY) and (memory := parse_keyed(value))
    }
    oldest_first = sorted(kept, key=lambda key: kept[key].at)
    horizon = claimant.actor.clock.now() - _KEPT_FOR
    surplus = max(0, len(kept) - _KEPT + 1)
    for position, key in enumerate(oldest_first):
        if position < surplus or kept[key].at < horizon:
            await claimant.actor.client.delete_metadata(anchor.app, anchor.id, key)
