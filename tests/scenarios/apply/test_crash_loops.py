"""A service that is as declared and does not stay up is told by the plan, and is no success of an apply."""

import asyncio
from functools import partial

import pytest
from msgspec.structs import replace

from reconciler.apply.apply import apply
from reconciler.apply.options import Options
from reconciler.apply.retry_deferred import apply_patiently
from reconciler.engine.models import Machine
from reconciler.model.change import Action
from reconciler.model.plan import Plan
from reconciler.model.report import Report, Status
from reconciler.model.spec import Spec
from reconciler.planner.planner import plan as make_plan
from tests.support.services import CRASHING, HEALTHY, RESTS, by_slot, commands_of, service, timed
from tests.support.world import World

ONCE = f"{CRASHING}, restart: 'no'"
MAY_REST = RESTS.format(ONCE)


def statuses(report: Report) -> list[Status]:
    return [ended.status for ended in report.entries]


def actions(plan: Plan) -> list[Action]:
    return [change.action for change in plan.changes]


async def failed(world: World, spec: Spec) -> None:
    """The first apply of a service that does not stay up."""
    report = await world.apply(spec)
    assert not report.is_success
    await world.context.clock.sleep(20)


def only_machine(world: World) -> Machine:
    [machine] = world.machines()
    return machine


async def test_a_machine_that_crashes_again_and_again_is_told_and_never_a_success(world: World) -> None:
    await failed(world, service(CRASHING))
    plan = await world.plan(service(CRASHING))
    assert not plan.has_changes
    assert not plan.is_settled
    [warning] = plan.warnings
    assert warning.startswith("app/web-iad-0: does not stay up: exited with code 3, ")
    assert "`reconciler logs web`" in warning
    report, took_s = await timed(world, service(CRASHING))
    assert not report.is_success
    assert took_s < 10
    [ended] = report.entries
    assert ended.status is Status.FAILED
    assert "exited with code 3" in ended.detail
    assert ended.unhealthy
    assert ended.unhealthy.log[:2] == ("listening", "no database")


async def test_once_it_stays_up_all_is_well(world: World) -> None:
    await failed(world, service(CRASHING))
    world.runtime.script(("run", "1000000"))
    await world.context.clock.sleep(40)  # the longest pause before a restart, and ten seconds up
    plan = await world.plan(service(CRASHING))
    assert plan.is_settled
    assert plan.warnings == ()
    assert (await world.apply(service(CRASHING))).is_success


async def test_one_that_was_up_again_a_moment_ago_is_watched_until_it_has_stayed_up(world: World) -> None:
    await failed(world, service(CRASHING))
    world.runtime.script(("run", "1000000"))
    runs = only_machine(world).runs
    while only_machine(world).runs == runs:
        await world.context.clock.sleep(0.5)
    report, took_s = await timed(world, service(CRASHING))
    assert statuses(report) == [Status.DONE]
    assert report.is_success
    assert 8 <= took_s < 15


@pytest.mark.parametrize("command", [CRASHING, ONCE])
async def test_a_rollout_that_stopped_goes_no_further_while_its_first_machine_crashes(
    world: World, command: str
) -> None:
    assert (await world.apply(service(count="4"))).is_success
    await failed(world, service(command, count="4"))
    for count in ("4", "5"):
        report = await world.apply(service(command, count=count))
        ended = by_slot(report)
        assert ended.pop("web-iad-0").status is Status.FAILED
        assert {one.status for one in ended.values()} == {Status.SKIPPED}
    assert commands_of(world) == ["say", "run", "run", "run"]
    report = await world.apply(service("[run, '2000000000']", count="4"))
    assert statuses(report) == [Status.DONE] * 4
    assert report.is_success


@pytest.mark.parametrize("command", [ONCE, MAY_REST])
async def test_a_machine_that_gave_up_is_started_and_watched_though_it_may_rest(world: World, command: str) -> None:
    await failed(world, service(command))
    assert only_machine(world).state == "stopped"
    plan = await world.plan(service(command))
    assert actions(plan) == [Action.START]
    assert plan.changes[0].reason == "stopped, should be running: exited with code 3"
    report = await world.apply(service(command))
    assert statuses(report) == [Status.FAILED]


async def test_a_machine_that_could_not_be_started_is_no_resting_one(world: World) -> None:
    spec = service(RESTS.format(HEALTHY))
    assert (await world.apply(spec)).is_success
    world.engine.store.save(replace(only_machine(world), state="failed"))
    assert actions(await world.plan(spec)) == [Action.START]


@pytest.mark.parametrize("last", ["[run, '60']", "[run, '60', exit, '0']"])
async def test_a_service_that_rests_is_well(world: World, last: str) -> None:
    """Stopped on purpose, or ended by itself without an error."""
    spec = service(RESTS.format(f"{last}, restart: 'no'"))
    assert (await world.apply(spec)).is_success
    if "exit" not in last:
        await world.engine.stop_machine("app", only_machine(world).id, {}, None)
    await world.context.clock.sleep(100)
    assert only_machine(world).state == "stopped"
    plan = await world.plan(spec)
    assert plan.is_settled
    assert plan.warnings == ()
    assert (await world.apply(spec)).entries == ()


@pytest.mark.parametrize("command", [CRASHING, MAY_REST])
async def test_a_service_that_is_not_to_be_watched_is_not_judged(world: World, command: str) -> None:
    spec = service(command, rollout="{min_healthy: 0s}")
    await world.apply(spec)
    await world.context.clock.sleep(20)
    assert (await world.plan(spec)).is_settled


async def test_a_crash_of_the_run_that_someone_else_has_started_meanwhile_is_seen(world: World) -> None:
    """The platform has started it again before anyone looks: its events tell."""
    spec = service("[run, '100', exit, '0'], restart: on-failure")
    assert (await world.apply(spec)).is_success
    await world.context.clock.sleep(200)
    plan = await world.plan(spec)
    assert actions(plan) == [Action.START]
    world.runtime.script(("run", "5", "exit", "1"))
    await world.engine.start_machine("app", only_machine(world).id, None)
    report = await apply(world.context, spec, plan)
    assert statuses(report) == [Status.FAILED]


async def test_a_service_that_another_apply_left_crashing_is_no_success_either(world: World) -> None:
    """It was overtaken, and is as declared when it is planned again."""
    spec = service("[run, '1000000']")
    plan = await world.plan(spec)
    assert (await world.apply(spec)).is_success
    await world.engine.stop_machine("app", only_machine(world).id, {}, None)
    await world.context.clock.sleep(10)

    async def crash() -> None:
        while not any("planning again" in words for words in world.said):
            await world.context.clock.sleep(0.05)
        world.runtime.script(("exit", "3"))
        await world.engine.start_machine("app", only_machine(world).id, None)

    crashing = asyncio.create_task(crash())
    report = await apply_patiently(world.context, spec, plan, partial(make_plan, spec), Options(), wait_busy_s=0)
    await crashing
    assert statuses(report) == [Status.FAILED]
    assert "exited with code 3" in report.entries[0].detail
