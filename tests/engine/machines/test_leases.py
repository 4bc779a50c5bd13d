"""Leases alone: who gets one, when it expires, and which calls it lets through."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from reconciler.engine.errors import ApiFault
from reconciler.engine.machines.leases import Leases
from reconciler.engine.machines.wait import Watchers
from reconciler.engine.models import Machine
from reconciler.testing.virtual_time import VirtualClock

MACHINE = Machine(
    id="1", app="app", name="m", region="iad", state="stopped", instance_id="v1", config={}, created_ms=0, updated_ms=0
)


class SetClock:
    """A clock whose time a test sets."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class Records:
    """One machine, and the leases on it."""

    def __init__(self, clock: SetClock | VirtualClock, *, takes_expired_nonce: bool = True) -> None:
        self.machine = MACHINE
        self.watchers = Watchers(clock)
        self.leases = Leases(
            clock, self.watchers, lambda _app, _id: self.machine, self.save, takes_expired_nonce=takes_expired_nonce
        )

    def save(self, machine: Machine) -> Machine:
        self.machine = machine
        self.watchers.notify(machine.id)
        return machine

    def take(self, *, ttl_s: int = 60, nonce: str | None = None) -> str:
        return self.leases.take("app", "1", ttl_s=ttl_s, description="work", nonce=nonce).nonce

    def status_of(self, nonce: str | None, call: str) -> int:
        """The status that a call gets which does not wait."""
        try:
            asyncio.run(self.leases.admit(call, self.machine, nonce))
        except ApiFault as fault:
            return fault.status
        return 200


def test_a_lease_is_in_force_until_it_expires() -> None:
    clock = SetClock()
    records = Records(clock)
    records.take(ttl_s=60)
    clock.at += timedelta(seconds=59)
    assert records.leases.current(records.machine)
    clock.at += timedelta(seconds=1)
    assert records.leases.current(records.machine) is None


def test_a_ttl_of_zero_is_the_default() -> None:
    clock = SetClock()
    records = Records(clock)
    records.take(ttl_s=0)
    assert records.machine.lease
    assert records.machine.lease.expires_at == clock.at.timestamp() + 120


def test_its_holder_alone_renews_and_releases_it() -> None:
    clock = SetClock()
    records = Records(clock)
    nonce = records.take(ttl_s=60)
    for other in (None, "another"):
        with pytest.raises(ApiFault, match="lease currently held by"):
            records.take(nonce=other)
        with pytest.raises(ApiFault, match="lease currently held by"):
            records.leases.release("app", "1", other)
    clock.at += timedelta(seconds=30)
    assert records.take(ttl_s=60, nonce=nonce) == nonce
    clock.at += timedelta(seconds=59)
    assert records.leases.current(records.machine)
    records.leases.release("app", "1", nonce)
    assert records.machine.lease is None
    with pytest.raises(ApiFault, match="lease not found"):
        records.leases.release("app", "1", nonce)


def test_a_refresh_that_comes_late_revives_the_lease_while_nobody_has_one() -> None:
    clock = SetClock()
    records = Records(clock)
    nonce = records.take(ttl_s=60)
    clock.at += timedelta(seconds=61)
    assert records.take(nonce=nonce) == nonce
    clock.at += timedelta(seconds=61)
    other = records.take()
    assert other != nonce
    with pytest.raises(ApiFault) as fault:
        records.take(nonce=nonce)
    assert fault.value.status == 409


def test_a_destroyed_machine_gives_none() -> None:
    records = Records(SetClock())
    records.machine = replace(MACHINE, state="destroyed")
    with pytest.raises(ApiFault, match="machine not found"):
        records.take()


@pytest.mark.parametrize(
    ("call", "holder", "status"),
    [
        ("start", "nobody", 200),
        ("start", "caller", 200),
        ("start", "another", 409),
        ("update", "another", 409),
        ("exec", "caller", 409),
        ("signal", "another", 200),
        ("metadata", "another", 200),
    ],
)
def test_a_call_passes_or_is_refused_at_once(call: str, holder: str, status: int) -> None:
    records = Records(SetClock())
    nonce = None if holder == "nobody" else records.take()
    assert records.status_of(nonce if holder == "caller" else None, call) == status


@pytest.mark.parametrize(("takes_expired_nonce", "status"), [(True, 200), (False, 409)])
def test_an_expired_nonce_is_accepted_as_it_is_assumed(takes_expired_nonce: bool, status: int) -> None:
    records = Records(SetClock(), takes_expired_nonce=takes_expired_nonce)
    assert records.status_of("expired", "start") == status


async def test_a_stop_waits_for_another_ones_lease_and_sees_the_machine_after_it() -> None:
    clock = VirtualClock()
    records = Records(clock)
    nonce = records.take(ttl_s=60)
    waiting = asyncio.create_task(records.leases.admit("stop", records.machine, None))
    await clock.sleep(10)
    assert not waiting.done()
    records.save(replace(records.machine, instance_id="v2"))
    records.leases.release("app", "1", nonce)
    assert (await waiting).instance_id == "v2"
    assert clock.monotonic() == 10

    records.take(ttl_s=60)
    await records.leases.admit("stop", records.machine, None)
    assert clock.monotonic() == 70


async def test_a_stop_that_waits_is_refused_when_the_engine_closes() -> None:
    records = Records(VirtualClock())
    records.take(ttl_s=60)
    waiting = asyncio.create_task(records.leases.admit("stop", records.machine, None))
    await asyncio.sleep(1)
    records.watchers.close()
    with pytest.raises(ApiFault, match="the engine is stopping"):
        await waiting


def test_a_stolen_lease_is_another_ones() -> None:
    records = Records(SetClock())
    nonce = records.take()
    records.leases.drop(records.machine, thief="someone else", ttl_s=5)
    assert records.status_of(nonce, "start") == 409
    records.leases.drop(records.machine)
    assert records.status_of(None, "start") == 200
