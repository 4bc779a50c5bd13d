"""Plans of many apps: by the organisations' lists where those are fewer, and what lists of the apps would give."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.cli.images import Imaging
from reconciler.cli.planning import plan_pinned
from reconciler.cli.ui.options import Shared
from reconciler.engine.faults.settings import LATENCIES, Settings
from reconciler.model.plan import Plan
from reconciler.model.run_policy import Override
from reconciler.model.spec import Spec
from reconciler.planner.planner import Planner
from reconciler.targets import Target
from reconciler.testing.virtual_time import run_virtually
from tests.support.faults import FAULTS
from tests.support.world import World, open_world, spec_of

OPTIONS = Shared(
    file=None,
    directory=None,
    app=None,
    only=(),
    output="text",
    target=None,
    is_plain=True,
    verbosity=0,
    is_tracing=False,
)
TARGET = Target(
    name="t", base_url="http://127.0.0.1", logs_url="http://127.0.0.1", token=None, is_paced=False, log_delay_s=0
)
APPS = 24
LIST_OF_ORG = "GET /orgs/personal/machines"


def many(apps: int = APPS, *, env: str = "1", orgs: int = 1, count: int = 2) -> Spec:
    """Apps with a task each, the first of which has another variable, if asked, and is of another organisation."""
    lines = ["version: 1", "name: stack", "apps:"]
    for number in range(apps):
        org = f", org: org-{number % orgs}" if orgs > 1 else ""
        value = env if number == 0 else "1"
        task = f"{{command: [run, '5'], count: {count}, env: {{A: '{value}'}}, args: ['1'], overrides: {{args: true}}}}"
        lines.append(f"  app-{number}: {{image: 'r.example/a:1', tasks: {{t: {task}}}{org}}}")
    return spec_of("\n".join(lines))


async def planned(world: World, spec: Spec, memory: Path | None) -> tuple[Plan, list[str]]:
    """A plan, and the calls that it took."""
    world.transport.requests.clear()
    planner = Planner(spec.stack)
    imaging = Imaging(mode="never")
    plan, _digests = await plan_pinned(world.context, spec, OPTIONS, TARGET, imaging, planner, memory_file=memory)
    return plan, [*world.transport.requests]


def after(spec: Spec, memory: Path, work: Callable[[World], Awaitable[None]]) -> tuple[Plan, list[str], list[str]]:
    """The spec's plan after this happened to a world of which a plan had said that all is as declared; and the calls of
    that plan and of this. It is always the plan that is made without a memory.
    """

    async def scenario() -> tuple[Plan, list[str], list[str]]:
        async with open_world(Settings(latency=replace(LATENCIES["fly"], list_lag_s=0.0))) as world:
            assert (await world.apply(many())).is_success
            await world.context.clock.sleep(120)
            first, first_calls = await planned(world, many(), memory)
            assert not first.has_changes
            await work(world)
            plan, calls = await planned(world, spec, memory)
            listed, _calls = await planned(world, spec, None)
            assert plan == replace(listed, observed_at=plan.observed_at)
            return plan, first_calls, calls

    return run_virtually(scenario())


async def nothing(_world: World) -> None:
    """All stays as it is."""


def test_what_was_as_declared_is_looked_at_by_one_list(tmp_path: Path) -> None:
    plan, first, again = after(many(), tmp_path / "memory", nothing)
    assert (len(first), again) == (APPS, [LIST_OF_ORG])
    assert len(plan.changes) == 2 * APPS


def test_a_spec_that_changed_has_its_apps_listed(tmp_path: Path) -> None:
    plan, _first, again = after(many(env="2"), tmp_path / "memory", nothing)
    assert again == [LIST_OF_ORG, "GET /apps/app-0/machines"]
    assert {change.slot.app for change in plan.effective} == {"app-0"}


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


@pytest.mark.parametrize("work", [write_a_key, run_one], ids=lambda work: work.__name__)
def test_what_is_no_difference_costs_no_call(tmp_path: Path, work: Callable[[World], Awaitable[None]]) -> None:
    plan, _first, again = after(many(), tmp_path / "memory", work)
    assert (plan.has_changes, again) == (False, [LIST_OF_ORG])


@pytest.mark.parametrize(
    ("work", "has_changes"),
    [
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
def test_an_app_that_someone_touched_is_listed(
    tmp_path: Path, work: Callable[[World], Awaitable[None]], has_changes: bool
) -> None:
    plan, _first, again = after(many(), tmp_path / "memory", work)
    assert plan.has_changes == has_changes
    assert again[:2] == [LIST_OF_ORG, "GET /apps/app-3/machines"]
    assert len(again) == (3 if work is destroy_all else 2)  # an empty app is asked for its own count


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_happens_to_the_list_the_apps_are_listed(tmp_path: Path, fault: str) -> None:
    async def scenario() -> None:
        async with open_world() as world:
            assert (await world.apply(many())).is_success
            await world.context.clock.sleep(120)
            memory = tmp_path / "memory"
            await planned(world, many(), memory)
            world.transport.strike(fault, ahead=0)
            plan, calls = await planned(world, many(), memory)
            assert not plan.has_changes
            world.transport.relent()
            if fault in {"connection refused", "429"}:  # what is harmless to repeat is repeated
                assert {*calls} == {LIST_OF_ORG}
                return
            assert (calls[0], len(calls)) == (LIST_OF_ORG, 1 + APPS)
            # The next plan does not try it again; the one after it does.
            assert len((await planned(world, many(), memory))[1]) == APPS
            assert (await planned(world, many(), memory))[1] == [LIST_OF_ORG]

    run_virtually(scenario())


def test_more_organisations_than_pages_that_save_anything_are_not_asked(tmp_path: Path) -> None:
    async def scenario(orgs: int) -> list[list[str]]:
        async with open_world() as world:
            spec = many(orgs=orgs)
            assert (await world.apply(spec)).is_success
            await world.context.clock.sleep(120)
            return [(await planned(world, spec, tmp_path / f"{orgs}"))[1] for _ in range(3)]

    listed, few, _few = run_virtually(scenario(3))
    assert (len(listed), few) == (APPS, [f"GET /orgs/org-{number}/machines" for number in range(3)])
    _listed, many_orgs, given_up = run_virtually(scenario(4))
    assert len(many_orgs) == 3 + APPS
    assert len(given_up) == APPS


@pytest.mark.parametrize(("apps", "calls"), [(19, 19), (20, 1)])
def test_few_apps_are_listed_one_by_one(tmp_path: Path, apps: int, calls: int) -> None:
    async def scenario() -> int:
        async with open_world() as world:
            spec = many(apps, count=1)
            assert (await world.apply(spec)).is_success
            await world.context.clock.sleep(120)
            await planned(world, spec, tmp_path / "memory")
            return len((await planned(world, spec, tmp_path / "memory"))[1])

    assert run_virtually(scenario()) == calls


def test_a_plan_that_is_interrupted_remembers_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_world() as world:
            assert (await world.apply(many())).is_success
            world.transport.strike("two minutes of silence", ahead=3)
            planning = asyncio.create_task(planned(world, many(), tmp_path / "memory"))
            await world.context.clock.sleep(5)
            assert not planning.done()
            planning.cancel()
            await asyncio.gather(planning, return_exceptions=True)
            assert planning.cancelled()

    run_virtually(scenario())
    assert not [*tmp_path.iterdir()]
