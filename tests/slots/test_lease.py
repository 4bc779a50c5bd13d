"""A lease is lost for good once it is lost, and given back on every way out of what it was taken for."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.engine.faults.rules import ALWAYS
from reconciler.engine.models import Machine
from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError
from reconciler.model.machine import Lease
from reconciler.slots.lease import HeldLease, _Instant, acquire_lease, hold_lease
from reconciler.slots.lease_description import parse_holder
from reconciler.targets import pid_space, who_asks
from tests.support.side_by_side import WrongClock, person
from tests.support.world import World, open_world, task_spec


async def one_machine(world: World) -> Machine:
    await world.apply(task_spec(count="1"))
    await world.context.clock.sleep(1)
    return world.machines()[0]


def is_leased(world: World) -> bool:
    return world.engine.leases.current(world.machines()[0]) is not None


@pytest.mark.parametrize(
    "late", [{"fault": "late_reply", "seconds": 8.0}, {"fault": "server_error", "times": 4}], ids=str
)
async def test_a_lease_that_was_given_up_is_not_used_again_whatever_a_late_renewal_says(
    world: World, late: dict[str, Any]
) -> None:
    machine = await one_machine(world)
    async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=30) as lease:
        await world.context.clock.sleep(1)
        world.engine.faults.add(calls=("lease",), **late)
        await world.context.clock.sleep(9.5)
        with pytest.raises(LeaseLostError):
            lease.guard(20)  # longer than it would last: given up, while its renewal is on its way
        await world.context.clock.sleep(30)
        assert lease._is_lost
        with pytest.raises(LeaseLostError):
            lease.guard(1)


async def test_a_lease_tells_the_time_of_the_server(world: World) -> None:
    machine = await one_machine(world)
    clock, server = WrongClock(30), world.engine.clock
    async with hold_lease(person(world, "wrong", clock=clock).context, "app", machine.id, verb="v", ttl_s=30) as lease:
        for pause_s in (0, 17, 8):
            await world.context.clock.sleep(pause_s)
            assert abs((lease.server_time - server.now()).total_seconds()) <= 1
    untold = Lease(nonce="n", expires_at=datetime.fromtimestamp(0, UTC), owner="", description="")
    context = replace(world.context, clock=clock)
    held = HeldLease(context, "app", machine.id, untold, ttl_s=30, sent=_Instant(context))
    assert held.server_time == clock.now()


async def test_a_bug_in_the_renewal_is_told_and_the_lease_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_lease: HeldLease) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(HeldLease, "_renew", broken)

    async def scenario(*, fails: bool) -> None:
        async with open_world() as world:
            machine = await one_machine(world)

            async def work() -> None:
                async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=30):
                    await world.context.clock.sleep(12)
                    if fails:
                        raise ValueError("the work's own")

            with pytest.raises(ValueError if fails else KeyError):
                await work()
            assert not is_leased(world)
            assert any("unexpected KeyError" in line for line in world.said)

    await scenario(fails=False)
    await scenario(fails=True)


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "late_reply", "seconds": 60.0},
        {"fault": "late_request", "seconds": 3.5},
        {"fault": "lose_reply", "times": ALWAYS},
    ],
    ids=lambda fault: fault["fault"],
)
async def test_a_caller_who_is_cancelled_while_the_lease_is_granted_leaves_none(
    world: World, fault: dict[str, Any]
) -> None:
    machine = await one_machine(world)
    world.engine.faults.add(calls=("lease",), **fault)
    if fault["fault"] == "lose_reply":
        world.engine.faults.add("late_reply", calls=("get_lease",), seconds=60.0)

    async def work() -> None:
        async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=3000):
            pytest.fail("it was cancelled before")

    task = asyncio.create_task(work())
    await world.context.clock.sleep(3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert not is_leased(world)


async def test_a_caller_who_is_cancelled_twice_gives_the_lease_back(world: World) -> None:
    machine = await one_machine(world)
    world.engine.faults.add("late_request", calls=("release",), seconds=2.0)

    async def work() -> None:
        async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=3000):
            await world.context.clock.sleep(1000)

    task = asyncio.create_task(work())
    await world.context.clock.sleep(1)
    assert is_leased(world)
    task.cancel()
    await world.context.clock.sleep(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not is_leased(world)


def test_a_holder_tells_where_its_process_counts() -> None:
    holder = parse_holder(f"reconciler apply {'0' * 26} {who_asks({})}")
    assert holder
    assert (holder.pid, holder.space) == (os.getpid(), pid_space())


def test_where_the_system_does_not_tell_that_nothing_is_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(_path: Path, **_options: Any) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", hidden)
    assert pid_space() is None
    holder = parse_holder(f"reconciler apply {'0' * 26} {who_asks({})}")
    assert holder
    assert (holder.pid, holder.space) == (os.getpid(), None)


@pytest.mark.parametrize(("late_s", "is_left"), [(3.0, False), (120.0, True)])
async def test_a_renewal_that_is_on_its_way_at_the_end_revives_no_lease(
    world: World, late_s: float, is_left: bool
) -> None:
    """It is waited for before the release; where that takes too long the lease is left to expire."""
    machine = await one_machine(world)
    clock = world.context.clock
    async with hold_lease(world.context, "app", machine.id, verb="invoke", ttl_s=30):
        await clock.sleep(9.5)
        world.engine.faults.add("late_request", seconds=late_s)
        await clock.sleep(1.5)
        ended = clock.monotonic()
    assert clock.monotonic() - ended < 6
    assert is_leased(world) is is_left
    await clock.sleep(25)
    assert not is_leased(world)


async def test_a_caller_who_is_cancelled_while_the_lease_is_renewed_leaves_none(world: World) -> None:
    machine = await one_machine(world)

    async def work() -> None:
        async with hold_lease(world.context, "app", machine.id, verb="invoke", ttl_s=30):
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await world.context.clock.sleep(9.5)
    world.engine.faults.add("late_request", seconds=3.0)
    await world.context.clock.sleep(1.5)
    working.cancel()
    await asyncio.wait({working})
    await world.context.clock.sleep(5)
    assert not is_leased(world)


@pytest.mark.parametrize("fault", ["lose_reply", "half_reply", "lose_request", "server_error"])
async def test_a_lost_reply_to_a_lease_is_settled_by_whose_description_is_on_it(world: World, fault: str) -> None:
    machine = await one_machine(world)
    lost = world.engine.faults.add(fault, calls=("lease",))
    lease = await acquire_lease(world.context, "app", machine.id, verb="apply", ttl_s=60)
    assert lost.struck == 1
    on_machine = await world.context.client.leases.get("app", machine.id)
    assert on_machine is not None
    assert lease.guard().reveal() == on_machine.nonce
    await lease.release()
    assert not is_leased(world)


async def test_after_a_lost_reply_the_lease_of_someone_else_is_theirs(world: World) -> None:
    machine = await one_machine(world)
    await world.context.client.leases.acquire("app", machine.id, ttl_s=60, description="reconciler apply of theirs")
    world.engine.faults.add("lose_reply", calls=("lease",))
    with pytest.raises(ApiError, match="is leased by") as caught:
        await acquire_lease(world.context, "app", machine.id, verb="apply", ttl_s=60)
    assert caught.value.kind is ApiErrorKind.LEASE_HELD
    assert is_leased(world)


async def test_a_lease_is_waited_for_and_its_holder_told_once(world: World) -> None:
    machine = await one_machine(world)
    await world.context.client.leases.acquire("app", machine.id, ttl_s=5, description="a deploy")
    began = world.context.clock.monotonic()
    async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=60, patience_s=30):
        assert 4 <= world.context.clock.monotonic() - began <= 7
    assert sum("(a deploy)" in line and line.endswith("waiting up to 30 s") for line in world.said) == 1


async def test_no_write_is_given_a_nonce_that_it_could_outlive(world: World) -> None:
    machine = await one_machine(world)
    lease = await acquire_lease(world.context, "app", machine.id, verb="invoke", ttl_s=30)
    await world.context.clock.sleep(30 - 5 - 10 - 0.1)  # the margin, and the write's own time
    lease.guard(10)
    await world.context.clock.sleep(0.2)
    with pytest.raises(LeaseLostError):
        lease.guard(10)


async def test_after_a_write_of_unclear_effect_the_lease_is_left_to_expire(world: World) -> None:
    machine = await one_machine(world)
    async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=30) as lease:
        lease.doubt()
    assert is_leased(world)
    await world.context.clock.sleep(31)
    assert not is_leased(world)


@pytest.mark.parametrize(("call", "is_left"), [("get", False), ("update", True), ("wait", False)])
async def test_an_apply_that_is_cancelled_leaves_its_lease_only_while_its_update_is_under_way(
    world: World, call: str, is_left: bool
) -> None:
    await one_machine(world)
    late = world.engine.faults.add("late_reply", calls=(call,), seconds=5.0)
    applying = asyncio.create_task(world.apply(task_spec("[run, '2']", count="1")))
    await world.context.clock.sleep(2)
    assert late.struck
    assert is_leased(world)
    applying.cancel()
    await asyncio.gather(applying, return_exceptions=True)
    assert is_leased(world) is is_left
    await world.context.clock.sleep(60)
    assert not is_leased(world)
