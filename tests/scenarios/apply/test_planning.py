"""A plan that is made app by app lists each app once, and is the plan of the whole snapshot."""

from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from reconciler.engine.faults.settings import LATENCIES, Settings
from reconciler.machines_api.observe import observe
from reconciler.model.plan import Plan
from reconciler.model.run_policy import Override
from reconciler.model.spec import Spec
from reconciler.planner.needs import needs_of
from reconciler.planner.planner import plan as plan_of
from tests.support.world import World, spec_of

pytestmark = pytest.mark.slow

APPS = 24


def many(*, env: str = "1") -> Spec:
    """Apps with a task each, the first of which has another variable, if asked."""
    lines = ["version: 1", "name: stack", "apps:"]
    for number in range(APPS):
        value = env if number == 0 else "1"
        task = f"{{command: [run, '5'], count: 2, env: {{A: '{value}'}}, args: ['1'], overrides: {{args: true}}}}"
        lines.append(f"  app-{number}: {{image: 'r.example/a:1', tasks: {{t: {task}}}}}")
    return spec_of("\n".join(lines))


async def planned(world: World, spec: Spec) -> tuple[Plan, list[str]]:
    """A plan, and the calls that it took."""
    world.transport.requests.clear()
    plan = await world.plan(spec)
    return plan, [*world.transport.requests]


async def nothing(_world: World) -> None:
    """All stays as it is."""


async def change_a_variable(world: World) -> None:
    [machine, _other] = world.machines("app-3")
    config = {**machine.config, "env": {"A": "mine"}}
    await world.engine.update(machine.app, machine.id, {"config": config, "skip_launch": True}, None)
    await world.context.clock.sleep(60)


async def change_it_there_and_back(world: World) -> None:
    [machine, _other] = world.machines("app-3")
    before = dict(machine.config)
    await change_a_variable(world)
    await world.engine.update(machine.app, machine.id, {"config": before, "skip_launch": True}, None)
    await world.context.clock.sleep(60)


async def destroy_one(world: World) -> None:
    [machine, _other] = world.machines("app-3")
    await world.context.client.delete_machine("app-3", machine.id, nonce=None, force=True)
    await world.context.clock.sleep(60)


async def destroy_all(world: World) -> None:
    for machine in world.machines("app-3"):
        await world.context.client.delete_machine("app-3", machine.id, nonce=None, force=True)
    await world.context.clock.sleep(60)


async def add_one(world: World) -> None:
    world.engine.create("app-3", {"name": "mine", "skip_launch": True, "config": {"image": "x"}})
    await world.context.clock.sleep(60)


async def take_a_mark_away(world: World) -> None:
    [machine, _other] = world.machines("app-3")
    await world.context.client.delete_metadata("app-3", machine.id, "reconciler_stack")


async def write_a_key(world: World) -> None:
    """One that nobody declared: it is no drift."""
    [machine, _other] = world.machines("app-3")
    await world.context.client.set_metadata("app-3", machine.id, "mine", "1")


async def run_one(world: World) -> None:
    [machine, _other] = world.machines("app-3")
    await world.context.client.start_machine("app-3", machine.id, nonce=None)
    await world.context.clock.sleep(2)


async def run_with_args(world: World) -> None:
    """A run that has args of its own goes on."""
    spec = many()
    pool = next(pool for pool in spec.pools if pool.app == "app-3")
    await world.invoke(replace(spec, apps=(replace(spec.apps[3], pools=(pool,)),)), override=Override(args=("9",)))


@pytest.mark.world(Settings(latency=replace(LATENCIES["fly"], list_lag_s=0.0)))
@pytest.mark.parametrize(
    ("work", "has_changes"),
    [
        (nothing, False),
        (write_a_key, False),
        (run_one, False),
        (change_a_variable, True),
        (change_it_there_and_back, False),
        (destroy_one, True),
        (destroy_all, True),
        (add_one, False),
        (take_a_mark_away, False),
        (run_with_args, False),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_each_app_is_listed_once_for_the_plan_of_the_whole(
    world: World, work: Callable[[World], Awaitable[None]], has_changes: bool
) -> None:
    assert (await world.apply(many())).is_success
    await world.context.clock.sleep(120)
    await work(world)
    plan, calls = await planned(world, many())
    names = [app.name for app in many().apps]
    needs = needs_of(many())
    whole = plan_of(many(), await observe(world.context.client, names, clock=world.context.clock, reduce=needs))
    assert plan == replace(whole, observed_at=plan.observed_at, scope=plan.scope)
    assert plan.has_changes == has_changes
    lists = [call for call in calls if call.endswith("/machines")]
    assert sorted(lists) == sorted(f"GET /apps/app-{number}/machines" for number in range(APPS))
    other = [call for call in calls if not call.endswith("/machines")]
    of_creates = ["POST /platform/placements"] if work in {destroy_one, destroy_all} else []
    of_empty = ["GET /apps/app-3"] if work is destroy_all else []  # it is asked for its own count
    assert other == of_empty + of_creates


async def test_a_spec_that_changed_differs_in_that_app_alone(world: World) -> None:
    assert (await world.apply(many())).is_success
    await world.context.clock.sleep(120)
    plan, _calls = await planned(world, many(env="2"))
    assert {change.slot.app for change in plan.effective} == {"app-0"}
