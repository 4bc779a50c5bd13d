"""One deadline for a start: what a claim that is cut short comes to, by how far it had got."""

import asyncio

import pytest

from reconciler.invoke.claim_request import Claimant, Refusal, Unconfirmed
from reconciler.invoke.start_deadline import StartDeadline
from reconciler.model.run import NeverStarted, Outcome, OutcomeName
from tests.support.claimants import claimant_of
from tests.support.world import World, task_spec


async def deadline_of(world: World, **details: object) -> StartDeadline:
    spec = task_spec(count="1")
    await world.apply(spec)
    return StartDeadline(claimant=await claimant_of(world, spec, start_timeout_s=5.0, **details))


def send(claimant: Claimant) -> None:
    machine = claimant.known.machines[0]
    claimant.progress.sent = Unconfirmed(run_ulid="0" * 26, machine=machine, why="")


async def test_a_claim_in_time_is_its_own_result(world: World) -> None:
    start = await deadline_of(world)

    async def work() -> str:
        await world.context.clock.sleep(4.9)
        return "claimed"

    assert await start.bound(work()) == "claimed"


@pytest.mark.parametrize("is_sent", [False, True])
async def test_past_the_deadline_it_never_started_or_is_unconfirmed(world: World, *, is_sent: bool) -> None:
    start, began = await deadline_of(world), world.context.clock.monotonic()

    async def work() -> None:
        start.claimant.progress.doing = "waiting"
        if is_sent:
            send(start.claimant)
        await world.context.clock.sleep(100)

    ended = await start.bound(work())
    assert world.context.clock.monotonic() - began == pytest.approx(5)
    if is_sent:
        assert isinstance(ended, Unconfirmed)
        assert ended.why == "waiting took longer than the 5 s that a start may take"
    else:
        assert isinstance(ended, Outcome)
        assert ended.name is OutcomeName.NEVER_STARTED


@pytest.mark.parametrize(("is_sent", "took_s"), [(False, 1), (True, 1 + 3)])
async def test_a_stop_waits_for_the_answer_to_a_start_that_was_sent(
    world: World, took_s: float, *, is_sent: bool
) -> None:
    start, began = await deadline_of(world), world.context.clock.monotonic()

    async def work() -> None:
        if is_sent:
            send(start.claimant)
        await world.context.clock.sleep(100)

    claiming = asyncio.create_task(start.bound(work()))
    await world.context.clock.sleep(1)
    start.claimant.stop.set()
    ended = await claiming
    assert world.context.clock.monotonic() - began == pytest.approx(took_s)
    assert isinstance(ended, Unconfirmed) is is_sent
    if isinstance(ended, Outcome):
        assert ended.name is OutcomeName.INTERRUPTED


async def test_a_confirmed_start_is_kept_though_its_lease_is_released_past_the_deadline(world: World) -> None:
    start = await deadline_of(world)

    async def work() -> str:
        send(start.claimant)
        start.claimant.progress.is_confirmed = True
        await world.context.clock.sleep(8)
        return "claimed"

    assert await start.bound(work()) == "claimed"


async def test_time_runs_on_while_claims_fail_and_not_while_a_machine_is_waited_for(world: World) -> None:
    start = await deadline_of(world)

    async def refused() -> Refusal:
        await world.context.clock.sleep(3)
        return Refusal(why="no capacity", cause=NeverStarted.CAPACITY, is_broken=True)

    refusal = await start.bound(refused())
    assert isinstance(refusal, Refusal)
    start.last = refusal
    assert start.left_s == pytest.approx(2)
    assert start.ended is not None, "too little is left to see another start"
    assert start.ended.cause is NeverStarted.CAPACITY
    start.forget()
    assert start.left_s == 5
    assert start.ended is None
