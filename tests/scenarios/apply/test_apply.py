"""Apply, then plan, is empty; a change of the spec is one change; what runs is let finish."""

from contextlib import suppress

import pytest

from reconciler.apply.executor import Stop
from reconciler.errors import ApiError, BlockedError
from reconciler.model import marks
from reconciler.model.change import Action
from reconciler.model.report import Status
from reconciler.model.spec import Spec
from tests.support.faults import FAULTS
from tests.support.field_examples import EXAMPLES
from tests.support.world import World, app_text, open_world, spec_of, task_spec


async def assert_converged(world: World, spec: Spec) -> None:
    plan = await world.plan(spec)
    assert not plan.has_changes, [(change.address, change.reason) for change in plan.effective]
    world.assert_unique_names()


async def test_apply_creates_what_is_declared_and_starts_no_task(world: World) -> None:
    spec = task_spec(count="{iad: 2, ams: 1}")
    report = await world.apply(spec)
    assert report.is_success
    assert report.apps_created == ("app",)
    assert [machine.name for machine in world.machines()] == ["work-ams-0", "work-iad-0", "work-iad-1"]
    await assert_converged(world, spec)
    assert world.runtime.starts == []
    assert {machine.state for machine in world.machines()} <= {"created", "stopped"}


# What a service alone has, and what starts a task, are not changed there and back here.
FIELDS = [name for name, one in EXAMPLES.items() if one.path and one.kind == "tasks" and not one.beside]


@pytest.mark.parametrize("field", FIELDS)
async def test_each_field_is_one_change_there_and_back(field: str) -> None:
    line, path = f"{field}: {EXAMPLES[field].value}", EXAMPLES[field].path or ""

    base = "command: [exit, '0']" if field not in {"command", "processes"} else ""
    template = app_text("""
    tasks:
      work:
        {}
""")
    before = spec_of(template.format("command: [exit, '0']"))
    indented = f"{line}\n        {base}" if base else line
    text = template.format(indented)
    after = spec_of(text)
    async with open_world() as world:
        await world.apply(before)
        for spec in (after, before):
            plan = await world.plan(spec)
            assert [change.action for change in plan.effective] == [Action.UPDATE]
            assert any(path in change.path for change in plan.effective[0].fields), plan.effective[0].fields
            assert path.split(".")[0] in plan.effective[0].reason
            report = await world.apply(spec)
            assert report.is_success, report
            await assert_converged(world, spec)


async def test_a_lowered_count_removes_the_highest_number(world: World) -> None:
    await world.apply(task_spec(count="3"))
    kept = {machine.name: machine.id for machine in world.machines()}
    report = await world.apply(task_spec(count="1"))
    assert report.is_success
    assert [(machine.name, machine.id) for machine in world.machines()] == [("work-iad-0", kept["work-iad-0"])]


async def test_a_running_task_is_deferred_and_changed_afterwards(world: World) -> None:
    await world.apply(task_spec("[run, '100']", count="2"))
    run = await world.invoke(task_spec("[run, '100']"), is_waiting=False)
    changed = task_spec("[run, '101']")
    report = await world.apply(changed)
    assert report.is_success
    statuses = {ended.slot.name: ended.status for ended in report.entries}
    assert run.slot
    assert statuses.pop(run.slot.name) is Status.DEFERRED
    assert set(statuses.values()) == {Status.DONE}
    plan = await world.plan(changed)
    assert [change.deferred is not None for change in plan.effective] == [True]
    await world.context.clock.sleep(200)
    assert (await world.apply(changed)).is_success
    await assert_converged(world, changed)
    assert len(world.runtime.starts) == 1


async def test_what_someone_else_changed_is_said_to_be_theirs(world: World) -> None:
    spec = task_spec(extra="        env: {A: '1'}", count="1")
    await world.apply(spec)
    [machine] = world.machines()
    config = machine.config | {"env": {"A": "2", "B": "3"}}
    await world.engine.update("app", machine.id, {"config": config}, None)
    await world.context.clock.sleep(1)
    [change] = (await world.plan(spec)).effective
    assert "changed by someone else" in change.reason
    assert {field.path for field in change.fields} == {"env.A", "env.B"}
    assert all(field.is_secret for field in change.fields)
    assert (await world.apply(spec)).is_success
    await assert_converged(world, spec)


async def test_other_tools_metadata_travels_along_and_ours_can_be_removed(world: World) -> None:
    await world.apply(task_spec(extra="        metadata: {team: web, tier: low}", count="1"))
    [machine] = world.machines()
    world.engine.set_metadata("app", machine.id, {"other_tool": "kept"})
    spec = task_spec(extra="        metadata: {team: web}", count="1")
    assert (await world.apply(spec)).is_success
    metadata = world.machines()[0].config["metadata"]
    assert marks.without_marks(metadata) == {"team": "web", "other_tool": "kept"}
    await assert_converged(world, spec)


async def test_foreign_machines_are_listed_and_left_alone(world: World) -> None:
    spec = task_spec(count="1")
    await world.apply(spec)
    theirs = world.engine.create("app", {"name": "theirs", "config": {"image": "x"}, "skip_launch": True})
    await world.context.clock.sleep(1)
    before = world.engine.store.machine(theirs.id)
    plan = await world.plan(spec)
    assert [machine.name for machine in plan.foreign] == ["theirs"]
    await world.apply(spec_of("version: 1\nname: stack\napps: {app: {tasks: {}}}"))
    assert world.engine.store.machine(theirs.id) == before
    assert [machine.name for machine in world.machines()] == ["theirs"]


async def test_services_run_roll_one_at_a_time_and_are_started_again(world: World) -> None:
    text = """
version: 1
name: stack
apps:
  app:
    image: i:1
    services:
      web:
        command: [run, '100000']
        env: {{V: '{}'}}
        count: 3
"""

    first = spec_of(text.format(1))
    assert (await world.apply(first)).is_success
    assert {machine.state for machine in world.machines()} == {"started"}
    plan = await world.plan(spec_of(text.format(2)))
    chain = [change.depends_on for change in plan.effective]
    assert chain == [(), ("app/web-iad-0",), ("app/web-iad-0", "app/web-iad-1")]
    assert (await world.apply(spec_of(text.format(2)))).is_success
    assert {machine.state for machine in world.machines()} == {"started"}
    await world.engine.stop_machine("app", world.machines()[1].id, {}, None)
    await world.context.clock.sleep(10)
    plan = await world.plan(spec_of(text.format(2)))
    assert [change.action for change in plan.effective] == [Action.START]
    assert (await world.apply(spec_of(text.format(2)))).is_success
    await assert_converged(world, spec_of(text.format(2)))


async def test_the_deletion_limit_stops_an_apply_before_the_first_write(world: World) -> None:
    await world.apply(task_spec(count="8"))
    small = task_spec(count="2")
    with pytest.raises(BlockedError, match="--allow-destroy 6"):
        await world.apply(small, allow_destroy=0)
    assert len(world.machines()) == 8
    assert (await world.apply(small, allow_destroy=6)).is_success


async def test_an_interrupted_apply_says_so_and_the_next_one_finishes(world: World) -> None:
    spec, stop = task_spec(count="6"), Stop()
    report = await world.apply(spec, parallelism=1, stop=stop, on_end=lambda _entry: stop.interrupt())
    assert report.interrupted
    assert not report.is_success
    assert [ended.status for ended in report.entries].count(Status.SKIPPED) == 5
    assert (await world.apply(spec)).is_success
    await assert_converged(world, spec)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_one_fault_anywhere_leaves_no_duplicate_and_the_next_apply_converges(fault: str) -> None:
    before = task_spec("[exit, '0']", count="3")
    after = task_spec("[exit, '1']", count="{iad: 2, ams: 2}")

    async def count_requests() -> int:
        async with open_world() as world:
            await world.apply(before)
            began = len(world.transport.requests)
            await world.apply(after)
            return len(world.transport.requests) - began

    async def scenario(position: int) -> None:
        async with open_world() as world:
            await world.apply(before)
            world.transport.before = lambda _request: world.assert_unique_names()
            world.transport.strike(fault, ahead=position)
            report = None
            with suppress(ApiError):
                report = await world.apply(after)
            world.transport.relent()
            if report and report.is_success:
                await assert_converged(world, after)
            world.transport.relent()
            await world.context.clock.sleep(120)
            assert (await world.apply(after)).is_success
            await assert_converged(world, after)
            assert len(world.machines()) == 4
            assert world.runtime.starts == []

    for position in range(await count_requests()):
        await scenario(position)
