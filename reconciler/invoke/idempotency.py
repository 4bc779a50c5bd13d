"""Claim with an idempotency key: the first caller starts the run, others attach.

All callers meet on one machine, the pool's anchor, and work under its lease; the server's unique names make sure that
there is only one. The key is written there right before the start, after the run record on the run's own machine.

- A key whose record has a start: attach to that run.
- A key whose record has no start: its caller died before the start.
- A key without a record: the record was replaced by newer ones since, so the run happened.
- A key that was evicted leaves a fingerprint: its run happened.

See docs/explanation/protocols.md, section 6.
"""

from datetime import datetime
from typing import Final

from msgspec import Struct

from reconciler.errors import ApiError
from reconciler.invoke.claim import claim_under
from reconciler.invoke.claim_request import Claim, Claimant, Refusal, candidates, refusal_of
from reconciler.invoke.key_marks import KeyedRun, has_fingerprint, hash_of, parse_keyed
from reconciler.invoke.key_room import make_room
from reconciler.invoke.outcome import lost, refused
from reconciler.invoke.runs import FoundRun, runs_on
from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.run import Outcome, RunState
from reconciler.slots.lease import CLAIM_TTL_S, HeldLease, hold_lease
from reconciler.slots.run_records import newest_record, records_of
from reconciler.slots.wait import read_machine

_CANDIDATES: Final = 3


def digest_of_run(claimant: Claimant) -> str:
    """Return a digest of task, args and env, to which a key is bound."""
    override = claimant.override
    args = ["-"] if override.args is None else ["args", *override.args]
    return hash_of(claimant.pool.app, claimant.pool.name, *args, "env", *(f"{k}={v}" for k, v in sorted(override.env)))


class _KeyMark(Struct, frozen=True, kw_only=True):
    """The key's mark on the anchor, written under its lease, before the start."""

    claimant: Claimant
    lease: HeldLease
    anchor: Machine
    slot: str

    async def write(self, run_ulid: str) -> None:
        at = self.lease.server_time  # a caller whose clock is wrong would forget the key too early, or never
        memory = KeyedRun(ulid=run_ulid, slot=self.slot, digest=digest_of_run(self.claimant), at=at)
        self.lease.guard()
        await self.claimant.context.client.set_metadata(self.anchor.app, self.anchor.id, self._name, memory.to_text())

    async def take_back(self) -> None:
        """Delete the key.

        Restore that of an earlier caller, whose start may still arrive.
        """
        client, earlier = self.claimant.context.client, self.anchor.metadata.get(self._name)
        self.lease.guard()
        if earlier:
            await client.set_metadata(self.anchor.app, self.anchor.id, self._name, earlier)
        else:
            await client.delete_metadata(self.anchor.app, self.anchor.id, self._name)

    @property
    def _name(self) -> str:
        return marks.KEY + self.claimant.key


async def claim_keyed(claimant: Claimant) -> Claim | FoundRun | Outcome | Refusal:
    """Claim a machine for a new run of the key, or find the run that it has already.

    Return a final outcome if neither is possible, or a refusal if another try may succeed. Raises ApiError and
    LeaseLostError.
    """
    anchor = claimant.known.anchor
    if anchor is None or not anchor.is_observable:
        why = anchor.doubt if anchor else "not there"
        return refused(
            f"the anchor of pool {claimant.pool.name}, where keys are kept, is {why}",
            remedy="run `reconciler apply`, or try again once it can be observed",
        )
    # By our own clock, as there is no lease yet: if that is ahead, the next look decides; if behind, nothing runs.
    seen = await _attached(claimant, anchor, now=claimant.context.clock.now())
    if seen is not None:
        return seen
    try:
        async with hold_lease(claimant.context, anchor.app, anchor.id, verb="invoke", ttl_s=CLAIM_TTL_S) as lease:
            live = await read_machine(claimant.context, anchor)
            claimant.known.see(live)
            if live.metadata.get(marks.ANCHOR) != live.name:
                return Refusal(why=f"{live.name} is no longer the anchor of its pool")
            seen = await _attached(claimant, live, now=lease.server_time)
            if seen is not None:
                return seen
            return await _start_new(claimant, lease, live)
    except ApiError as error:
        return refusal_of(error)


async def _attached(claimant: Claimant, anchor: Machine, *, now: datetime) -> FoundRun | Outcome | Refusal | None:
    """Return the run that the key has.

    None if it has none, or one that never started. A Refusal if its machine runs and no start event shows whose run
    that is: wait for its exit.
    """
    known = parse_keyed(anchor.metadata.get(marks.KEY + claimant.key, ""))
    if known is None and has_fingerprint(anchor.metadata, claimant.key, now):
        return _lost(claimant, "the key's run ran already, its end is no longer retained")
    if known is None:
        return None
    if known.digest != digest_of_run(claimant):
        return refused("this idempotency key was used for another command", remedy="use a key of its own for each")
    machine = next((one for one in claimant.known.machines if one.name == known.slot), None)
    if machine is None:
        return _lost(claimant, f"the key's run was on {known.slot}, which is gone")
    live = await read_machine(claimant.context, machine)
    claimant.known.see(live)
    if known.ulid not in {record.ulid for record in records_of(live.metadata).values()}:
        return _lost(claimant, "the key's run is no longer retained; it is not run a second time")
    found = await runs_on(claimant.context, live)
    run = next((one for one in found if one.info.id == f"{known.slot}/{known.ulid}"), None)
    if run is not None and run.info.state is not RunState.NOT_STARTED:
        return run
    newest = newest_record(live.metadata)
    if newest and newest.ulid == known.ulid and not live.state.is_resting:
        return Refusal(why=f"{live.name} is {live.state.value}, and may run for this key", is_in_doubt=True)
    return None


def _lost(claimant: Claimant, why: str) -> Outcome:
    known = f"`reconciler runs {claimant.pool.name}` lists the retained runs"
    return lost(why, remedy=f"{known}; another key starts a new run")


async def _start_new(
    claimant: Claimant, anchor_lease: HeldLease, anchor: Machine
) -> Claim | FoundRun | Outcome | Refusal:
    """Start the run on a free machine, the anchor first.

    Never wait for another machine under the anchor's lease. If an earlier caller died between its key and its start,
    that start may still arrive. So its machine is tried first: under our lease on it, the late start is refused. While
    someone else has that lease, no other machine is started.
    """
    context = claimant.context

    async def claim_on(machine: Machine, lease: HeldLease) -> Claim | FoundRun | Outcome | Refusal:
        seen = await _attached(claimant, anchor, now=anchor_lease.server_time) if dead else None
        if seen is not None:
            return seen
        mark = _KeyMark(claimant=claimant, lease=anchor_lease, anchor=anchor, slot=machine.name)
        return await claim_under(claimant, lease, machine, may_settle=False, announcement=mark)

    if (full := await make_room(claimant, anchor_lease, anchor)) is not None:
        return full
    dead = parse_keyed(anchor.metadata.get(marks.KEY + claimant.key, ""))
    first = next((machine for machine in claimant.known.machines if dead and machine.name == dead.slot), anchor)
    others = [machine for machine in (anchor, *candidates(claimant)) if machine.id != first.id]
    ended: Claim | FoundRun | Outcome | Refusal = Refusal(why="none is at rest")
    for machine in [first, *others][:_CANDIDATES]:
        try:
            if machine.id == anchor.id:
                ended = await claim_on(machine, anchor_lease)
            else:
                async with hold_lease(context, machine.app, machine.id, verb="invoke", ttl_s=CLAIM_TTL_S) as lease:
                    ended = await claim_on(machine, lease)
        except ApiError as error:
            ended = refusal_of(error)
            if dead and machine.id == first.id:
                return ended
        if not isinstance(ended, Refusal) or ended.is_final or ended.is_in_doubt:
            return ended
    return ended
