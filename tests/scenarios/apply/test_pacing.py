"""Applies under the documented limits, which the engine keeps here, on virtual time: at the optimum, never refused."""

import asyncio
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from reconciler.apply.executor import Stop
from reconciler.engine.faults.settings import LATENCIES, Latency, Settings
from reconciler.machines_api.transport import TraceEntry
from reconciler.model.change import Action
from reconciler.model.report import Entry, Status
from reconciler.model.spec import Spec
from tests.support.world import TOKEN, World, app_spec, spec_of, task_spec

pytestmark = pytest.mark.slow

LIMITED = Settings(limits_rates=True)
SETTLING_S = 2.0  # the last create, and the closing list


def apps_of(counts: dict[str, int]) -> Spec:
    apps = "\n".join(
        f"  {name}: {{image: registry.example/a:1, tasks: {{work: {{command: [exit, '0'], count: {count}}}}}}}"
        for name, count in counts.items()
    )
    return spec_of(f"version: 1\nname: stack\napps:\n{apps}\n")


async def seconds(world: World, spec: Spec, **options: Any) -> float:
    began = world.context.clock.monotonic()
    report = await world.apply(spec, **options)
    assert report.is_success, (report.failures, report.mismatches)
    return world.context.clock.monotonic() - began


def refusals(world: World) -> list[TraceEntry]:
    return [entry for entry in world.trace if entry.status == 429]


@pytest.mark.world(LIMITED, paced=True)
@pytest.mark.parametrize("count", [4, 20, 100])
async def test_creating_machines_in_one_app_takes_a_second_each_less_the_burst(world: World, count: int) -> None:
    took_s = await seconds(world, task_spec(count=str(count)))
    assert refusals(world) == []
    assert count - 3 <= took_s <= 1.05 * (count - 3) + SETTLING_S


@pytest.mark.world(LIMITED, paced=True)
async def test_different_apps_go_on_side_by_side(world: World) -> None:
    creating_apps_s = 1.05 * (8 - 3)  # of one organisation
    took_s = await seconds(world, apps_of({f"app-{number}": 20 for number in range(8)}), parallelism=4)
    assert refusals(world) == []
    assert took_s <= creating_apps_s + 1.05 * (20 - 3) + SETTLING_S


@pytest.mark.world(LIMITED, paced=True)
async def test_different_actions_go_on_side_by_side(world: World) -> None:
    """Thirty updates take a settling time, and thirty creates half a minute: the updates end first, in the midst."""
    old = task_spec(count="30", name="old")
    await world.apply(old)
    await world.context.clock.sleep(60)
    ended: list[str] = []
    both = app_spec("""
    tasks:
      young: {command: [exit, '0'], count: 30}
      old: {command: [exit, '1'], count: 30}
""")
    took_s = await seconds(world, both, on_end=lambda entry: ended.append(entry.action.value))
    assert refusals(world) == []
    assert took_s <= 1.05 * (30 - 3) + SETTLING_S
    assert "update" not in ended[-15:]


@pytest.mark.world(Settings(limits_rates=True, latency=LATENCIES["fly"]), paced=True)
async def test_many_quick_changes_do_not_keep_the_paced_ones_waiting(world: World) -> None:
    """Two hundred updates fill all places for a minute and a half; thirty creates are made meanwhile, not after."""

    old = {"old-app": 200}
    before = apps_of(old)
    await world.apply(before)
    await world.context.clock.sleep(60)
    both = spec_of(
        """
version: 1
name: stack
apps:
  old-app: {image: registry.example/a:1, tasks: {work: {command: [exit, '1'], count: 200}}}
  young: {image: registry.example/a:1, tasks: {work: {command: [exit, '0'], count: 30}}}
"""
    )
    began, ended = world.context.clock.monotonic(), {}

    def note(entry: Entry) -> None:
        ended[entry.action] = world.context.clock.monotonic() - began

    report = await world.apply(both, on_end=note)
    assert report.is_success
    assert refusals(world) == []
    created_s, updated_s = ended[Action.CREATE], ended[Action.UPDATE]
    assert created_s <= 1.05 * (30 - 3) + 15  # and before them the app, the first machine alone, and a place for each
    assert updated_s > 60


@pytest.mark.world(LIMITED, paced=True)
async def test_a_refusal_is_honoured_and_of_no_consequence(world: World) -> None:
    """Someone else takes half of the app's rate: the server refuses, and all is done all the same."""
    await world.apply(task_spec(count="1"))
    await world.context.clock.sleep(60)

    other = httpx.AsyncClient(base_url="http://127.0.0.1/v1", transport=world.transport)

    async def meddle() -> None:
        """Another caller, who takes every second of the calls that the app may have."""
        for number in range(30):
            body = {"name": f"theirs-{number}", "config": {"image": "x"}, "skip_launch": True}
            headers = {"Authorization": f"Bearer {TOKEN}"}
            await other.post("/apps/app/machines", json=body, headers=headers)
            await world.context.clock.sleep(2.0)

    meddling = asyncio.create_task(meddle())
    report = await world.apply(task_spec(count="20"))
    await meddling
    assert report.is_success
    assert refusals(world)
    ours = [machine.name for machine in world.machines() if machine.name.startswith("work-")]
    assert len(ours) == 20


@pytest.mark.world(replace(LIMITED, latency=Latency()), paced=True)
async def test_an_interrupt_does_not_wait_for_the_pace(world: World) -> None:
    stop = Stop()
    applying = asyncio.create_task(world.apply(task_spec(count="100"), stop=stop))
    await world.context.clock.sleep(10)
    stop.interrupt()
    report = await applying
    assert report.interrupted
    assert world.context.clock.monotonic() < 12
    statuses = [entry.status for entry in report.entries]
    assert statuses.count(Status.DONE) == len(world.machines())
    assert statuses.count(Status.SKIPPED) == 100 - len(world.machines())
