"""Who has which lease, as the list tells it: shown by status, plan and unlock, and heeded by an invoke."""

from collections import Counter

import pytest

from reconciler.invoke.invoke import OnBusy
from reconciler.model import marks
from reconciler.operations.status import status
from reconciler.operations.unlock import unlock
from reconciler.render.status import status_text
from reconciler.slots.lease import hold_lease
from reconciler.targets import pid_space, this_user
from tests.support.faults import shape
from tests.support.world import World, task_spec

SPEC, OTHER = task_spec(count="4"), task_spec("[exit, '1']", count="4")
LIST, GET_LEASE = "GET /apps/*/machines", "GET /apps/*/machines/*/lease"
WORDS = "locked by `reconciler apply` of tester until 00:0"


async def calls(world: World) -> Counter[str]:
    found = Counter(map(shape, world.transport.requests))
    world.transport.requests.clear()
    return found


async def test_status_plan_and_unlock_tell_of_a_lease_and_ask_for_none(world: World) -> None:
    await world.apply(SPEC)
    machine = world.machines()[1]
    await calls(world)
    async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=60):
        await calls(world)
        rows = (await status(world.session, SPEC)).slots
        assert [bool(row.lock) for row in rows] == [False, True, False, False]
        assert WORDS in status_text(rows, now=world.context.clock.now(), shows_machines=True)
        assert [said for said in (await world.plan(OTHER)).warnings if WORDS in said]
        assert not [said for said in (await world.plan(SPEC)).warnings if "locked" in said]
        [found] = (await unlock(world.context, SPEC)).leases
        assert (found.machine, found.is_released) == (machine.name, False)
        assert await calls(world) == {LIST: 4}
    assert not (await unlock(world.context, SPEC)).leases
    assert (await calls(world))[GET_LEASE] == 0


@pytest.mark.parametrize("is_older", [False, True])
async def test_the_lease_of_a_dead_process_is_found_and_released(world: World, is_older: bool) -> None:
    await world.apply(SPEC)
    if is_older:
        world.transport.untold.add("lease")
        world.transport.has_no_pages = True
    who = f"{this_user()} pid {2**31 - 7} in {pid_space()}"
    machine = world.machines()[2]
    client = world.context.client
    await client.leases.acquire("app", machine.id, ttl_s=60, description=f"reconciler apply {'0' * 26} {who}")
    await calls(world)
    [found] = (await unlock(world.context, SPEC)).leases
    assert (found.machine, found.is_released) == (machine.name, True)
    assert not (await unlock(world.context, SPEC)).leases


async def test_a_server_that_lists_no_leases_is_asked_for_each(world: World) -> None:
    await world.apply(SPEC)
    world.transport.untold.update({"lease"})
    world.transport.has_no_pages = True
    machine = world.machines()[1]
    async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=60):
        await calls(world)
        [found] = (await unlock(world.context, SPEC)).leases
        assert found.machine == machine.name
        assert await calls(world) == {LIST: 2, GET_LEASE: 4}
        assert not [row for row in (await status(world.session, SPEC)).slots if row.lock]


async def test_an_invoke_tries_no_machine_that_someone_has_a_lease_on(world: World) -> None:
    await world.apply(SPEC)
    anchor, *others = world.machines()
    assert anchor.config["metadata"][marks.ANCHOR] == anchor.name
    free = others.pop()
    async with (
        hold_lease(world.context, "app", others[0].id, verb="apply", ttl_s=60),
        hold_lease(world.context, "app", others[1].id, verb="apply", ttl_s=60),
    ):
        await calls(world)
        ran = [await world.invoke(SPEC, on_busy=OnBusy.FAIL) for _ in range(4)]
        assert {run.outcome.exit_code for run in ran} == {0}
        leased = [request.split("/")[4] for request in world.transport.requests if request.startswith("POST")]
        assert not {machine.id for machine in others} & {*leased}
        assert {*leased} <= {anchor.id, free.id}
