"""A volume has one machine at a time: it is freed before it is mounted, waited for, and its holder is named."""

from typing import Any

import pytest

from reconciler.apply.apply import apply
from reconciler.apply.options import Options
from reconciler.engine.faults.rules import ALWAYS
from reconciler.model.change import Action
from reconciler.model.report import Entry, Report, Status
from reconciler.model.selection import Selection
from reconciler.model.spec import Spec
from tests.support.world import World, open_world, spec_of

SPEC = """
version: 1
name: stack
apps:
  app:
    image: registry.example/app:1
    {kind}:
{pools}"""


def spec(kind: str = "tasks", **volumes: str) -> Spec:
    """A pool for each keyword, with this volume. A service runs for long."""
    command = "[exit, '0']" if kind == "tasks" else "[run, '100000000']"
    pools = [
        f"      {name}: {{command: {command}, config: {{mounts: [{{volume: {volume}, path: /data}}]}}}}\n"
        for name, volume in volumes.items()
    ]
    return spec_of(SPEC.format(kind=kind, pools="".join(pools)))


def ends(report: Report) -> dict[str, Status]:
    return {ended.slot.name: ended.status for ended in report.entries}


def one(report: Report, name: str) -> Entry:
    return next(ended for ended in report.entries if ended.slot.name == name)


async def applied(world: World, kind: str = "tasks", **volumes: str) -> None:
    world.add_volumes("vol_1", "vol_2", "vol_3")
    assert (await world.apply(spec(kind, **volumes))).is_success
    await world.context.clock.sleep(1)


async def begin_run(world: World, name: str) -> None:
    machine = next(machine for machine in world.machines() if machine.name == name)
    world.runtime.script(("run", "1000"))
    await world.engine.start_machine("app", machine.id, None)
    await world.context.clock.sleep(1)


def refused_creates(world: World) -> list[Any]:
    return [entry for entry in world.trace if entry.method == "POST" and entry.status == 412]


@pytest.mark.parametrize("kind", ["tasks", "services"])
@pytest.mark.parametrize("parallelism", [1, 10])
async def test_a_renamed_pool_takes_its_volume_over_in_one_apply(world: World, kind: str, parallelism: int) -> None:
    await applied(world, kind, old="vol_1")
    after = spec(kind, new="vol_1")
    plan = await world.plan(after)
    [created] = [change for change in plan.changes if change.action is Action.CREATE]
    assert created.depends_on == ("app/old-iad-0",)
    report = await world.apply(after, parallelism=parallelism)
    assert report.is_success, report
    assert [machine.name for machine in world.machines()] == ["new-iad-0"]
    assert refused_creates(world) == []
    assert not (await world.plan(after)).has_changes


async def test_a_volume_goes_on_along_a_chain_of_pools(world: World) -> None:
    await applied(world, a="vol_1", b="vol_2")
    report = await world.apply(spec(a="vol_3", b="vol_1", c="vol_2"))
    assert report.is_success, report
    assert refused_creates(world) == []


@pytest.mark.parametrize(("parallelism", "applies"), [(10, 1), (1, 2)])
async def test_two_pools_that_exchange_their_volumes_never_wait_for_each_other_for_good(
    world: World, parallelism: int, applies: int
) -> None:
    await applied(world, a="vol_1", b="vol_2")
    after = spec(a="vol_2", b="vol_1")
    reports = [await world.apply(after, parallelism=parallelism) for _ in range(applies)]
    assert reports[-1].is_success, reports
    assert not (await world.plan(after)).has_changes


async def test_what_mounts_the_volume_of_a_running_task_is_deferred_with_it(world: World) -> None:
    await applied(world, old="vol_1", other="vol_2")
    await begin_run(world, "old-iad-0")
    after = spec(new="vol_1", other="vol_2")
    plan = await world.plan(after)
    created = next(change for change in plan.changes if change.action is Action.CREATE)
    assert created.deferred
    assert created.deferred.startswith("volume vol_1 is still mounted by old-iad-0: busy: a run is in progress")
    report = await world.apply(after)
    assert report.is_success
    assert ends(report) == {"new-iad-0": Status.DEFERRED, "old-iad-0": Status.DEFERRED}
    assert refused_creates(world) == []
    report = await world.apply(after, wait_busy_s=2000)
    assert ends(report) == {"new-iad-0": Status.DONE, "old-iad-0": Status.DONE}
    assert not (await world.plan(after)).has_changes


async def test_a_run_that_begins_after_the_plan_defers_what_mounts_its_volume_and_takes_no_machine_away(
    world: World,
) -> None:
    await applied(world, old="vol_1", other="vol_2")
    before = {machine.id for machine in world.machines()}
    after = spec(other="vol_1", third="vol_2")
    plan = await world.plan(after)
    await begin_run(world, "old-iad-0")
    report = await apply(world.context, after, plan)
    assert report.is_success
    assert set(ends(report).values()) == {Status.DEFERRED}
    assert "volume vol_1 is still mounted by old-iad-0" in one(report, "other-iad-0").detail
    assert {machine.id for machine in world.machines()} == before


@pytest.mark.parametrize("fault", ["volume_claimed", "volume_bound"])
@pytest.mark.parametrize("times", [1, 20])
async def test_a_volume_that_is_not_free_yet_is_waited_for(world: World, fault: str, times: int) -> None:
    await applied(world, old="vol_1")
    world.engine.faults.add(fault, calls=("create",), times=times)
    assert (await world.apply(spec(new="vol_1"))).is_success


async def test_a_volume_that_stays_taken_fails_with_its_name_and_its_holder() -> None:
    """The holder belongs to nobody, and the refusal may not tell it."""

    async def scenario(is_told: bool) -> None:
        async with open_world() as world:
            await applied(world, other="vol_2")
            command = {"cmd": ["run", "100000"]}
            config = {"image": "x", "init": command, "mounts": [{"volume": "vol_1", "path": "/data"}]}
            holder = world.engine.create("app", {"name": "theirs", "config": config})
            await world.context.clock.sleep(1)
            if not is_told:
                world.engine.faults.add("volume_claimed", calls=("create",), times=ALWAYS)
            began = world.context.clock.monotonic()
            report = await world.apply(spec(new="vol_1", other="vol_2"))
            assert 60 <= world.context.clock.monotonic() - began < 65
            assert not report.is_success
            detail = one(report, "new-iad-0").detail
            assert f"volume vol_1 is mounted by machine {holder.id} (theirs)" in detail

    await scenario(is_told=True)
    await scenario(is_told=False)


async def test_a_volume_that_a_running_task_has_is_not_waited_for(world: World) -> None:
    """A part of the plan: what has the volume is no part of it."""
    await applied(world, old="vol_1")
    await begin_run(world, "old-iad-0")
    after = spec(new="vol_1")
    plan = await world.plan(after, selection=Selection(only=("new",)))
    began = world.context.clock.monotonic()
    report = await apply(world.context, after, plan, Options(selection=Selection(only=("new",))))
    assert world.context.clock.monotonic() - began < 5
    assert ends(report)["new-iad-0"] is Status.DEFERRED
