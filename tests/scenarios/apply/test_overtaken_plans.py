"""Between its plan and its changes another apply, or a hand, was there: what is planned again, and what is not."""

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.apply.options import Options
from reconciler.apply.retry_deferred import apply_patiently
from reconciler.canonical.change_hashes import change_hashes
from reconciler.engine.models import Machine
from reconciler.machines_api.observe import observe
from reconciler.model import marks
from reconciler.model.change import Action
from reconciler.model.plan import Plan
from reconciler.model.report import Reason, Report, Status
from reconciler.model.spec import Spec
from reconciler.planner.approved import ApprovedSet, within
from reconciler.planner.hashes import plan_sha256
from reconciler.planner.planner import plan as make_plan
from tests.support.world import World, app_text, open_world, spec_of, task_spec

Meanwhile = Callable[[World], Awaitable[Any]]
ONE, TWO, THREE = (task_spec(f"[exit, '{code}']") for code in range(3))
SERVICE = app_text("""
    services:
      web: {{command: [run, '100000000'], count: {count}, env: {{V: '{v}'}}, rollout: {{min_healthy: 1s}}}}
""")


async def apply_late(
    world: World, spec: Spec, meanwhile: Meanwhile, *, is_reviewed: bool = False, **options: Any
) -> Report:
    """Plans, lets happen what happens meanwhile, and applies what was planned."""
    plan_again = partial(make_plan, spec, allow_destroy=1000)
    seen = await observe(world.context.client, ["app"], clock=world.context.clock)
    plan = plan_again(seen)
    await meanwhile(world)
    approved = ApprovedSet(hashes=frozenset(change_hashes(plan)))
    may_do: Callable[[Plan], Plan] = partial(within, approved=approved) if is_reviewed else lambda later: later
    options |= {"plan_sha256": plan_sha256(plan)} if is_reviewed else {}
    return await apply_patiently(
        world.context, spec, plan, plan_again, Options(**options), wait_busy_s=0.0, may_do=may_do, observed=seen
    )


def after(*specs: Spec) -> Meanwhile:
    """Other applies."""

    async def meanwhile(world: World) -> None:
        for spec in specs:
            assert (await world.apply(spec)).is_success

    return meanwhile


def by_hand(change: Callable[[World, Machine], Any], name: str = "work-iad-0") -> Meanwhile:
    async def meanwhile(world: World) -> None:
        change(world, machine_of(world, name))

    return meanwhile


def both(*deeds: Meanwhile) -> Meanwhile:
    async def meanwhile(world: World) -> None:
        for deed in deeds:
            await deed(world)

    return meanwhile


def machine_of(world: World, name: str) -> Machine:
    return next(machine for machine in world.machines() if machine.name == name)


def edit(world: World, machine: Machine) -> None:
    config = machine.config | {"env": {"BY": "hand"}}
    world.engine.store.save(replace(machine, config=config))


def vanish(world: World, machine: Machine) -> None:
    world.engine.vanish(machine)


def vanish_without_trace(world: World, machine: Machine) -> None:
    world.engine.vanish(machine)
    gone = world.engine.store.machine(machine.id)
    assert gone
    world.engine.forget(gone)


def commands(world: World) -> list[str]:
    return [machine.config["init"]["cmd"][1] for machine in world.machines()]


async def start(world: World, spec: Spec | None) -> None:
    if spec:
        assert (await world.apply(spec)).is_success
        await world.context.clock.sleep(1)


@pytest.mark.parametrize("before", [None, ONE])
@pytest.mark.parametrize("is_failing_fast", [False, True])
async def test_what_another_apply_made_otherwise_is_planned_again(
    world: World, before: Spec | None, is_failing_fast: bool
) -> None:
    await start(world, before)
    report = await apply_late(world, THREE, after(TWO), is_failing_fast=is_failing_fast)
    assert report.is_success, report
    assert [(one.action, one.status) for one in report.entries] == [(Action.UPDATE, Status.DONE)] * 2
    assert commands(world) == ["2", "2"]
    assert not (await world.plan(THREE)).has_changes
    assert sum("planning again" in line for line in world.said) == 1


@pytest.mark.parametrize("before", [None, ONE])
@pytest.mark.parametrize("is_reviewed", [False, True])
async def test_what_another_apply_made_as_declared_is_done(
    world: World, before: Spec | None, is_reviewed: bool
) -> None:
    await start(world, before)
    report = await apply_late(world, TWO, after(TWO), is_reviewed=is_reviewed)
    assert report.is_success, report
    assert {one.status for one in report.entries} == {Status.DONE}
    assert not any("planning again" in line for line in world.said)


@pytest.mark.parametrize("before", [None, ONE])
async def test_a_reviewed_plan_overwrites_nothing_that_was_not_reviewed(world: World, before: Spec | None) -> None:
    await start(world, before)
    report = await apply_late(world, THREE, after(TWO), is_reviewed=True)
    assert not report.is_success
    assert [one.status for one in report.entries] == [Status.FAILED, Status.SKIPPED]
    assert "plan again" in report.entries[0].detail
    assert commands(world) == ["1", "1"]


@pytest.mark.parametrize("before", [None, ONE])
async def test_what_a_hand_made_of_another_applys_work_is_neither_done_nor_undone(
    world: World, before: Spec | None
) -> None:
    await start(world, before)
    report = await apply_late(world, TWO, both(after(TWO), by_hand(edit)))
    assert [one.status for one in report.entries] == [Status.FAILED, Status.DONE]
    assert machine_of(world, "work-iad-0").config["env"] == {"BY": "hand"}


@pytest.mark.parametrize("gone", [vanish, vanish_without_trace])
async def test_a_machine_that_went_is_made_again_unless_the_plan_was_reviewed(
    gone: Callable[[World, Machine], None],
) -> None:
    async def scenario(*, is_reviewed: bool) -> None:
        async with open_world() as world:
            await start(world, ONE)
            report = await apply_late(world, TWO, by_hand(gone, "work-iad-1"), is_reviewed=is_reviewed)
            assert report.is_success is not is_reviewed, report
            assert commands(world) == (["1"] if is_reviewed else ["1", "1"])

    await scenario(is_reviewed=False)
    await scenario(is_reviewed=True)


async def test_a_slot_that_is_planned_again_is_judged_by_the_approved_set(world: World) -> None:
    """The plan replaces a machine; someone destroys it meanwhile, so only the second half of the replace is due."""
    world.add_volumes("vol_1", "vol_2")
    specs = [
        task_spec(count="1", extra=f"        config: {{mounts: [{{volume: {name}, path: /data}}]}}\n")
        for name in ("vol_1", "vol_2")
    ]
    await start(world, specs[0])
    report = await apply_late(world, specs[1], by_hand(vanish_without_trace), is_reviewed=True)
    assert report.is_success, report
    assert not (await world.plan(specs[1])).has_changes


async def test_a_machine_that_would_run_its_command_is_not_made_instead_of_an_update(world: World) -> None:
    """A plan announces what it runs; this one announced an update."""
    specs = [task_spec(f"[exit, '{code}']", extra="        launch: true\n") for code in range(2)]
    await start(world, specs[0])
    began = len(world.runtime.starts)
    report = await apply_late(world, specs[1], by_hand(vanish, "work-iad-1"))
    assert not report.is_success
    assert len(world.runtime.starts) == began
    assert len(world.machines()) == 1


@pytest.mark.parametrize("gone", [vanish, vanish_without_trace])
async def test_a_machine_that_was_to_be_destroyed_and_is_gone_is_done(
    world: World, gone: Callable[[World, Machine], None]
) -> None:
    await start(world, ONE)
    report = await apply_late(world, task_spec("[exit, '0']", count="1"), by_hand(gone, "work-iad-1"))
    assert report.is_success, report
    assert [one.status for one in report.entries] == [Status.DONE]


@pytest.mark.parametrize("gone", [vanish, vanish_without_trace])
async def test_a_replacement_of_a_machine_that_is_gone_remembers_the_keys(
    world: World, gone: Callable[[World, Machine], None]
) -> None:
    """The anchor knows which keys have run, and how: what replaces it must know it too."""

    def spec(volume: str) -> Spec:
        return task_spec(count="1", extra=f"        config: {{mounts: [{{volume: {volume}, path: /data}}]}}\n")

    world.add_volumes("vol_1", "vol_2")
    await start(world, spec("vol_1"))
    assert (await world.invoke(spec("vol_1"), key="once")).outcome.exit_code == 0
    report = await apply_late(world, spec("vol_2"), by_hand(gone))
    assert report.is_success, report
    kept = marks.ENDS + "0" in machine_of(world, "work-iad-0").config["metadata"]
    assert kept is (gone is vanish)  # without a trace, how the run ended is not known
    assert (await world.invoke(spec("vol_2"), key="once")).outcome.exit_code == 122
    assert len(world.runtime.starts) == 1


async def test_a_service_that_another_apply_left_stopped_is_started(world: World) -> None:
    spec = spec_of(SERVICE.format(count=2, v=1))

    async def meanwhile(world: World) -> None:
        await after(spec)(world)
        await world.engine.stop_machine("app", machine_of(world, "web-iad-1").id, {}, None)
        await world.context.clock.sleep(1)

    report = await apply_late(world, spec, meanwhile)
    assert report.is_success, report
    assert {machine.state for machine in world.machines()} == {"started"}


async def test_an_anchor_that_went_before_it_was_told_is_planned_again(world: World) -> None:
    spec = task_spec("[run, '100']", count="2")
    await start(world, spec)
    await world.engine.start_machine("app", machine_of(world, "work-iad-0").id, None)
    await world.context.clock.sleep(1)
    changed = task_spec("[run, '200']", count="2")
    report = await apply_late(world, changed, by_hand(vanish))
    assert report.is_success, report
    assert commands(world) == ["200", "200"]


async def test_a_slot_that_was_deferred_and_then_changed_by_another_apply_is_done(world: World) -> None:
    spec, changed = (task_spec(f"[run, '{seconds}']", count="1") for seconds in (20, 30))
    await start(world, spec)
    await world.engine.start_machine("app", machine_of(world, "work-iad-0").id, None)
    world.transport.before = lambda _request: None
    report = await world.apply(changed, wait_busy_s=100.0)
    assert [one.status for one in report.entries] == [Status.DONE]


async def test_what_is_overtaken_again_and_again_ends(world: World) -> None:
    await start(world, ONE)
    numbers = count()

    def before(_request: Any) -> None:
        """Another apply's mark, before each request."""
        machine = machine_of(world, "work-iad-0")
        metadata = machine.config["metadata"] | {marks.APPLIED: f"1:{next(numbers):020}"}
        world.engine.store.save(replace(machine, config=machine.config | {"metadata": metadata}))

    world.transport.before = before
    report = await world.apply(TWO)
    assert not report.is_success
    assert [one.reason for one in report.entries] == [Reason.OVERTAKEN] * 2
    assert sum("planning again" in line for line in world.said) == 4
