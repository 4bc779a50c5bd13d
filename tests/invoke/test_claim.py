"""One claim of one machine: the lease is the lock, the start event the proof, the record stays only with a start."""

import asyncio

import pytest

from reconciler.errors import StartUnclearError
from reconciler.invoke.claim import claim
from reconciler.invoke.claim_request import Claim, Refusal
from reconciler.model.machine import Machine
from reconciler.slots.run_records import newest_record, records_of
from tests.support.claimants import claimant_of
from tests.support.world import World, task_spec

SPEC = task_spec("[run, '60', exit, '0']", count="1")


async def rest(world: World) -> None:
    await world.apply(SPEC)
    await world.context.clock.sleep(10)


async def seen(world: World) -> Machine:
    return await world.context.client.get_machine("app", world.machines()[0].id)


def starts(machine: Machine) -> int:
    return sum(event.type == "start" for event in machine.events)


async def claim_once(world: World) -> Claim | Refusal:
    claimant = await claimant_of(world, SPEC)
    return await claim(claimant, claimant.known.machines[0], may_settle=False)


async def test_a_claim_leaves_a_record_with_its_fence_and_no_lease(world: World) -> None:
    await rest(world)
    fence = (await seen(world)).newest_event
    claimed = await claim_once(world)
    assert isinstance(claimed, Claim)
    machine = await seen(world)
    record = newest_record(machine.metadata)
    assert record is not None
    assert (record.ulid, record.fence) == (claimed.run_ulid, fence)
    assert starts(machine) == 1
    assert world.engine.leases.current(world.machines()[0]) is None


async def test_of_many_claims_at_once_one_has_the_machine(world: World) -> None:
    await rest(world)
    claimed = await asyncio.gather(*(claim_once(world) for _ in range(5)))
    assert sum(isinstance(one, Claim) for one in claimed) == 1
    machine = await seen(world)
    assert starts(machine) == len(records_of(machine.metadata)) == 1


@pytest.mark.parametrize("fault", ["lose_reply", "lose_request", "half_reply"])
@pytest.mark.parametrize("call", ["lease", "get", "metadata", "start"])
async def test_a_lost_call_costs_no_claim_and_starts_nothing_twice(world: World, call: str, fault: str) -> None:
    await rest(world)
    claimant = await claimant_of(world, SPEC)
    lost = world.engine.faults.add(fault, calls=(call,))
    claimed = await claim(claimant, claimant.known.machines[0], may_settle=False)
    assert lost.struck == 1
    assert isinstance(claimed, Claim)
    assert starts(await seen(world)) == 1


async def test_a_machine_that_someone_starts_without_a_lease_is_not_ours(world: World) -> None:
    await rest(world)
    foreign = world.engine.faults.add("foreign_start", calls=("start",))
    claimed = await claim_once(world)
    assert foreign.struck == 1
    assert isinstance(claimed, Refusal)
    machine = await seen(world)
    assert starts(machine) == 1
    assert not records_of(machine.metadata), "the record would say that the run is ours"


async def test_a_start_that_is_accepted_and_dropped_is_sent_again_and_then_refused(world: World) -> None:
    await rest(world)
    world.engine.faults.add("drop_start", times=-1)
    claimed = await claim_once(world)
    assert isinstance(claimed, Refusal)
    assert claimed.is_broken
    assert not records_of((await seen(world)).metadata)


async def test_a_start_without_answer_whose_effect_never_shows_is_in_doubt(world: World) -> None:
    await rest(world)
    world.engine.faults.add("lose_request", calls=("start",), times=-1)
    with pytest.raises(StartUnclearError, match="unknown whether work-iad-0 was started"):
        await claim_once(world)
    assert records_of((await seen(world)).metadata), "a start that arrives late must find its record"


async def test_a_busy_machine_is_refused_and_left_as_it_is(world: World) -> None:
    await rest(world)
    assert isinstance(await claim_once(world), Claim)
    before = await seen(world)
    refused = await claim_once(world)
    assert isinstance(refused, Refusal)
    assert refused.why == "work-iad-0 is started"
    assert await seen(world) == before
