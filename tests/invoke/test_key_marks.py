"""What an anchor remembers of keys: whole ones, fingerprints by the hour, and what a day of them takes."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.invoke.claim_request import Claimant, Refusal
from reconciler.invoke.key_marks import (
    KeyedRun,
    fingerprint_mark,
    has_fingerprint,
    hash_of,
    past_fingerprints,
)
from reconciler.invoke.key_room import make_room
from reconciler.invoke.pool_cache import KnownPool
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine, MachineState
from reconciler.model.run import Outcome
from reconciler.model.spec import Pool, PoolKind
from reconciler.slots.context import Context

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(hours=24)


def remembered(count: int, at: datetime, metadata: dict[str, str] | None = None) -> dict[str, str]:
    found = dict(metadata or {})
    for number in range(count):
        name, value = fingerprint_mark(found, hash_of(f"key {number}"), at)
        found[name] = value
    return found


def test_every_key_of_an_hour_is_found_and_no_other() -> None:
    metadata = remembered(100, NOON)
    assert len(metadata) == 3
    assert all(len(value) <= marks.MAX_VALUE_BYTES and value.isascii() for value in metadata.values())
    assert all(has_fingerprint(metadata, hash_of(f"key {number}"), NOON) for number in range(100))
    assert not any(has_fingerprint(metadata, hash_of(f"key {number}"), NOON) for number in range(100, 1000))


@pytest.mark.parametrize("minutes", [0, 30, 59])
def test_an_hour_is_remembered_for_a_day_at_least_and_then_forgotten_whole(minutes: int) -> None:
    at = NOON + timedelta(minutes=minutes)
    metadata = remembered(1, at)
    assert has_fingerprint(metadata, hash_of("key 0"), at + DAY)
    assert past_fingerprints(metadata, at + DAY) == []
    assert not has_fingerprint(metadata, hash_of("key 0"), at + DAY + timedelta(hours=2))
    assert past_fingerprints(metadata, at + DAY + timedelta(hours=2)) == list(metadata)


@pytest.mark.parametrize("name", ["f_", "f_x_0", "f_999999999_0", "fields"])
@pytest.mark.parametrize("value", ["", "?", "AAAA", base64.b64encode(b"12345").decode()])
def test_what_is_no_fingerprint_is_none(name: str, value: str) -> None:
    metadata = {marks.PREFIX + name: value}
    assert not has_fingerprint(metadata, hash_of("key 0"), NOON)
    assert past_fingerprints(metadata, NOON + 9 * DAY) == []


class Anchor:
    """A client whose machine is a map, and the lease on it."""

    def __init__(self, metadata: dict[str, str], clock: "Clock") -> None:
        self.metadata = metadata
        self.clock = clock

    async def set_metadata(self, _app: str, _machine: str, key: str, value: str) -> None:
        self.metadata[key] = value
        assert marks.size_of(self.metadata) <= marks.MAX_BYTES

    async def delete_metadata(self, _app: str, _machine: str, key: str) -> None:
        self.metadata.pop(key, None)

    async def list_events(self, *_arguments: Any, **_options: Any) -> tuple[()]:
        return ()

    def guard(self) -> None:
        """As a lease that is held."""

    @property
    def server_time(self) -> datetime:
        return self.clock.now()


class Clock:
    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def stamped(slot: str, who_length: int) -> dict[str, str]:
    """The marks of an anchor that has had its sixteen runs."""
    metadata = {
        marks.STACK: "stack", marks.POOL: slot[:-6], marks.SLOT: slot, marks.KIND: "task", marks.ANCHOR: slot,
        marks.APPLIED: "1:" + 20 * "a", marks.FIELDS: 150 * "f", marks.KEYS: "-", marks.ATTEMPT: 26 * "0",
        marks.REVISION: 60 * "r", marks.WANT: 150 * "w", marks.TERMS: "600;;",
    }  # fmt: skip
    record = ";".join((26 * "0", 26 * "E", 16 * "k", "1767225601", "0.0", who_length * "w"))
    return metadata | {f"{marks.RUN}{number}": record for number in range(16)}


def fits(slot: str, who_length: int, per_day: int) -> bool:
    """Whether so many keys a day find room, when they come evenly and all of their runs end."""

    async def two_days() -> bool:
        clock = Clock()
        client = Anchor(stamped(slot, who_length), clock)
        context = Context(client=client, clock=clock, who="tester")  # type: ignore[arg-type]
        pool = Pool(app="app", name=slot[:-6], kind=PoolKind.TASK, counts={}, config=MachineConfig(document={}))
        known = KnownPool(app="app", pool=pool.name, stack="stack")
        for number in range(per_day * 2):
            key = hash_of(f"key {number}")
            claimant = Claimant(context=context, stack="stack", pool=pool, known=known, start_timeout_s=1.0, key=key)
            machine = Machine(
                app="app", id="m", name=slot, state=MachineState.STOPPED, region="iad", version="1",
                config=MachineConfig(document={"metadata": dict(client.metadata)}),
            )  # fmt: skip
            found = await make_room(claimant, client, machine)  # type: ignore[arg-type]
            assert not isinstance(found, Refusal)
            if isinstance(found, Outcome):
                assert found.exit_code == 125
                return False
            keyed = KeyedRun(ulid=26 * "0", slot=slot, digest=16 * "d", at=clock.now())
            await client.set_metadata("app", "m", marks.KEY + key, keyed.to_text())
            await clock.sleep(86400 / per_day)
        return True

    return asyncio.run(two_days())


@pytest.mark.parametrize(
    ("slot", "who_length", "per_day"), [("get-release-iad-0", 40, 500), (57 * "x" + "-iad-0", 110, 250)]
)
def test_so_many_keyed_invokes_a_day_fit(slot: str, who_length: int, per_day: int) -> None:
    """What docs/reference/limits.md says: with names of usual length, and with the longest there can be."""
    assert fits(slot, who_length, per_day)
    assert not fits(slot, who_length, per_day * 2)
