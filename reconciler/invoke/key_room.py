"""Make room on a pool's anchor for another idempotency key.

No key is forgotten within a day. The oldest key whose run has ended is evicted. Its fingerprint is written before the
key is deleted, so that a caller that dies in between leaves both. A key whose run goes on is never evicted: its callers
must find the run. All of this happens under the anchor's lease.
"""

from datetime import datetime
from typing import Final

from msgspec import Struct, field

from reconciler.invoke.claim_request import Claimant, Refusal
from reconciler.invoke.key_marks import (
    MAX_KEYS,
    KeyedRun,
    fingerprint_mark,
    keys_of,
    past_fingerprints,
)
from reconciler.invoke.outcome import refused
from reconciler.invoke.runs import runs_on
from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.run import Outcome, RunState
from reconciler.slots.lease import HeldLease
from reconciler.slots.run_ends import oldest_mark
from reconciler.slots.run_records import newest_record, room_in
from reconciler.slots.wait import read_machine

_LEAST_KEYS: Final = 10  # so many keys stay whole, even if fingerprints need room


class _Memory(Struct, kw_only=True):
    """The anchor's metadata after our writes, and the run states read so far."""

    claimant: Claimant
    lease: HeldLease
    anchor: Machine
    metadata: dict[str, str]
    now: datetime
    states: dict[str, dict[str, RunState]] = field(default_factory=dict)

    async def write(self, name: str, value: str) -> None:
        self.lease.guard()
        await self.claimant.context.client.set_metadata(self.anchor.app, self.anchor.id, name, value)
        self.metadata[name] = value

    async def drop(self, name: str) -> None:
        self.lease.guard()
        await self.claimant.context.client.delete_metadata(self.anchor.app, self.anchor.id, name)
        self.metadata.pop(name, None)

    def keys(self) -> dict[str, KeyedRun]:
        """Return the keys other than our own, oldest first."""
        return {key: memory for key, memory in keys_of(self.metadata).items() if key != self.claimant.key}

    def has_room(self) -> bool:
        """Return whether another key fits, and the run records still to come here."""
        return room_in(self.metadata) >= len(marks.KEY) + len(self.claimant.key) + marks.MAX_VALUE_BYTES

    def seems_to_run(self, memory: KeyedRun) -> bool:
        """Return whether it is the newest run of a machine that was busy when last seen."""
        machine = self._machine(memory.slot)
        newest = newest_record(machine.metadata) if machine and not machine.state.is_resting else None
        return newest is not None and newest.ulid == memory.ulid

    async def has_ended(self, memory: KeyedRun) -> bool:
        """Return whether the key's run has ended.

        A claim without a start may still start, for as long as keys are kept.
        """
        if memory.slot not in self.states:
            self.states[memory.slot] = await self._states_on(memory.slot)
        state = self.states[memory.slot].get(memory.ulid, RunState.ENDED)  # not retained: newer runs came after it
        return state is RunState.ENDED or (state is RunState.NOT_STARTED and memory.is_past(self.now))

    async def _states_on(self, slot: str) -> dict[str, RunState]:
        """Return the states of the runs on this slot by ULID; empty if the slot is gone."""
        machine = self._machine(slot)
        if machine is None:
            return {}
        context = self.claimant.context
        live = self.anchor if machine.id == self.anchor.id else await read_machine(context, machine)
        return {run.info.id.partition("/")[2]: run.info.state for run in await runs_on(context, live)}

    def _machine(self, slot: str) -> Machine | None:
        return next((one for one in self.claimant.known.machines if one.name == slot), None)


async def make_room(claimant: Claimant, lease: HeldLease, anchor: Machine) -> Refusal | Outcome | None:
    """Make room for another key.

    Return None if there is room, else why there is none. A Refusal if there may be room later, an Outcome if not.
    `anchor` is the GET under its lease. Raises ApiError and LeaseLostError.
    """
    memory = _Memory(
        claimant=claimant, lease=lease, anchor=anchor, metadata=dict(anchor.metadata), now=lease.server_time
    )
    await _forget_yesterday(memory)
    while True:
        keys = memory.keys()
        is_full = len(keys) >= MAX_KEYS
        if not is_full and memory.has_room():
            return None
        if not is_full and (expendable := oldest_mark(memory.metadata)):
            await memory.drop(expendable)
            continue
        oldest = await _oldest_ended(memory, keys) if len(keys) > _LEAST_KEYS else None
        if oldest is not None:
            name, value = fingerprint_mark(memory.metadata, oldest, keys[oldest].at)
            await memory.write(name, value)
            await memory.drop(marks.KEY + oldest)
        elif is_full:
            return Refusal(why=f"{len(keys)} runs with other keys have not ended yet")
        elif any(name.startswith(marks.FINGERPRINTS) for name in memory.metadata):
            return _full(claimant, anchor)
        else:
            return None  # other tools' metadata fills the machine: let the server decide


async def _forget_yesterday(memory: _Memory) -> None:
    for name in past_fingerprints(memory.metadata, memory.now):
        await memory.drop(name)
    for key, keyed in memory.keys().items():
        if keyed.is_past(memory.now) and await memory.has_ended(keyed):
            await memory.drop(marks.KEY + key)


async def _oldest_ended(memory: _Memory, keys: dict[str, KeyedRun]) -> str | None:
    """Return the oldest key whose run has ended.

    A run that seems to go on is not read again, as there may be many of those.
    """
    for key, keyed in keys.items():
        if not memory.seems_to_run(keyed) and await memory.has_ended(keyed):
            return key
    return None


def _full(claimant: Claimant, anchor: Machine) -> Outcome:
    return refused(
        f"{anchor.name} has no room for another idempotency key: those of the last 24 hours fill its metadata",
        remedy=f"try again in an hour, use fewer keys for {claimant.pool.name}, or spread its runs over several tasks",
    )
