"""Someone else's change came between: the machine is settled, looked at and judged again, a bounded number of times."""

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.engine.faults.rules import ALWAYS
from reconciler.model.report import Report, Status
from tests.support.world import World, app_text, open_world, spec_of, task_spec

ROLLING = app_text("""
    services:
      web: {{command: [run, '100000'], count: 3, env: {{V: '{}'}}}}
""")
REFUSALS = (
    "concurrent_replace",
    "concurrent_update",
    "getting_replaced",
    "still_active",
    "stale_metadata",
    "volume_bound",
)


async def applied_under(world: World, **fault: Any) -> Report:
    await world.apply(task_spec("[exit, '0']", count="3"))
    await world.context.clock.sleep(1)
    world.engine.faults.add(calls=("update",), machine="work-iad-0", **fault)
    return await world.apply(task_spec("[exit, '1']", count="3"), is_failing_fast=True)


@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.parametrize("times", [1, 3])
async def test_an_update_that_was_overtaken_is_made_all_the_same(world: World, fault: str, times: int) -> None:
    report = await applied_under(world, fault=fault, times=times)
    assert [ended.status for ended in report.entries] == [Status.DONE] * 3
    assert report.is_success
    assert not (await world.plan(task_spec("[exit, '1']", count="3"))).has_changes


async def test_one_that_is_overtaken_again_and_again_fails_with_the_cause(world: World) -> None:
    report = await applied_under(world, fault="concurrent_replace", times=ALWAYS)
    assert [ended.status for ended in report.entries] == [Status.FAILED, Status.SKIPPED, Status.SKIPPED]
    assert "machine is replacing" in report.entries[0].detail


async def test_a_service_that_was_overtaken_goes_on_rolling(world: World) -> None:
    await world.apply(spec_of(ROLLING.format(1)))
    world.engine.faults.add("concurrent_replace", calls=("update",), machine="web-iad-0")
    report = await world.apply(spec_of(ROLLING.format(2)))
    assert [ended.status for ended in report.entries] == [Status.DONE] * 3


@pytest.mark.parametrize("fault", ["concurrent_replace", "steal_lease"])
async def test_a_destroy_and_a_lease_that_was_taken_away_are_judged_again(fault: str) -> None:
    async def scenario(call: str, count: str) -> None:
        async with open_world() as world:
            await world.apply(task_spec("[exit, '0']", count="2"))
            await world.context.clock.sleep(1)
            details = {"seconds": 20.0} if fault == "steal_lease" else {}
            world.engine.faults.add(fault, calls=(call,), machine="work-iad-1", **details)
            report = await world.apply(task_spec("[exit, '1']", count=count))
            assert {ended.status for ended in report.entries} == {Status.DONE}
            assert report.is_success

    await scenario("update", "2")
    if fault != "steal_lease":  # a destroy hangs then, and acts later: what became of it is not known
        await scenario("delete", "1")


async def test_what_a_hand_made_of_it_meanwhile_is_not_overwritten(world: World) -> None:
    """The refusal was because of a change that is none of ours: it is judged like any that came since the plan."""
    await world.apply(task_spec("[exit, '0']", count="1"))
    await world.context.clock.sleep(1)
    rule = world.engine.faults.add("concurrent_update", calls=("update",))

    def meddle(_request: Any) -> None:
        [machine] = world.machines()
        if rule.struck and machine.config.get("env") is None:
            config = machine.config | {"env": {"BY": "hand"}}
            world.engine.store.save(replace(machine, config=config))

    world.transport.before = meddle
    report = await world.apply(task_spec("[exit, '1']", count="1"))
    assert [ended.status for ended in report.entries] == [Status.FAILED]
    assert world.machines()[0].config["env"] == {"BY": "hand"}
