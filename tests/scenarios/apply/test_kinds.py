"""Tasks and services are told apart by what they were applied as, whatever their restart policy."""

import pytest
from msgspec.structs import replace

from reconciler.invoke.attach import wait_run
from reconciler.invoke.runs import find_run, list_runs, tasks_of
from reconciler.model import marks
from reconciler.model.change import Action
from reconciler.model.report import Status
from reconciler.model.spec import Spec
from tests.support.world import World, app_spec, open_world, spec_of, task_spec

EMPTY = spec_of("version: 1\nname: stack\napps: {app: {image: 'registry.example/app:1', tasks: {}}}\n")
RESTARTS = ["no", "on-failure", "always"]


def task(restart: str, command: str = "[run, '60', exit, '0']") -> Spec:
    return task_spec(command, count="1", extra=f"        restart: {restart}\n")


def service(restart: str = "always", command: str = "[run, '100000']", name: str = "work", extra: str = "") -> Spec:
    return app_spec(f"    services:\n      {name}:\n        command: {command}\n        restart: {restart}\n{extra}")


def kinds(world: World) -> list[str | None]:
    return [machine.config["metadata"].get(marks.KIND) for machine in world.machines()]


async def forget_kinds(world: World) -> None:
    """Takes the mark away: machines as an earlier version left them."""
    for machine in world.machines():
        await world.context.client.delete_metadata("app", machine.id, marks.KIND)


@pytest.mark.parametrize("restart", RESTARTS)
async def test_a_run_of_a_pool_that_left_the_spec_is_let_finish(world: World, restart: str) -> None:
    await world.apply(task(restart))
    await world.context.clock.sleep(10)
    await world.invoke(task(restart), is_waiting=False)
    report = await world.apply(EMPTY)
    assert [ended.status for ended in report.entries] == [Status.DEFERRED]
    assert [machine.state for machine in world.machines()] == ["started"]
    assert len(world.runtime.starts) == 1


@pytest.mark.parametrize("restart", RESTARTS)
async def test_a_service_of_a_pool_that_left_the_spec_is_destroyed(world: World, restart: str) -> None:
    assert (await world.apply(service(restart))).is_success
    report = await world.apply(EMPTY)
    assert [ended.status for ended in report.entries] == [Status.DONE]
    assert world.machines() == []


@pytest.mark.parametrize("restart", RESTARTS)
async def test_the_runs_of_a_task_are_known_whatever_its_restart_policy(world: World, restart: str) -> None:
    await world.apply(task(restart))
    await world.context.clock.sleep(10)
    run = await world.invoke(task(restart), is_waiting=False)
    assert [one.info.id for one in await list_runs(world.context, "app", stack="stack")] == [run.id]
    assert await find_run(world.context, "app", str(run.id), stack="stack")
    listed = await world.context.client.list_machines("app") or ()
    assert tasks_of(listed, "stack") == {"work": {"stack"}}


@pytest.mark.parametrize("restart", RESTARTS)
async def test_a_service_has_no_runs(world: World, restart: str) -> None:
    assert (await world.apply(service(restart))).is_success
    assert await list_runs(world.context, "app", stack="stack") == []


async def test_an_absent_mark_is_no_difference_and_is_written_only_where_the_config_misleads(world: World) -> None:
    for spec in (task("no"), task("always"), service("on-failure", name="web"), service("always", name="web")):
        await world.apply(spec)
        await world.context.clock.sleep(10)
        await forget_kinds(world)
        assert not (await world.plan(spec)).has_changes
        report = await world.apply(spec)
        assert report.entries == ()
        is_misleading = spec in (task("always"), service("on-failure", name="web"))
        assert kinds(world) == [spec.pools[0].kind.value if is_misleading else None]
        await world.apply(EMPTY, force=True)
        await world.context.clock.sleep(10)


async def test_without_the_mark_services_and_checks_are_a_services() -> None:
    """Of a pool that left the spec, as an earlier version made it."""

    async def scenario(extra: str) -> None:
        async with open_world() as world:
            await world.apply(service("on-failure", extra=extra))
            await forget_kinds(world)
            [change] = (await world.plan(EMPTY)).effective
            assert (change.action, change.deferred) == (Action.DESTROY, None)

    await scenario("        ports: [{port: 80, internal_port: 8080}]\n")
    await scenario("        checks: {up: {type: tcp, port: 8080}}\n")


async def test_a_task_that_becomes_a_service_is_changed_only_after_its_run(world: World) -> None:
    await world.apply(task("no"))
    await world.context.clock.sleep(10)
    run = await world.invoke(task("no"), is_waiting=False)
    report = await world.apply(service())
    assert [ended.status for ended in report.entries] == [Status.DEFERRED]
    found = await find_run(world.context, "app", str(run.id), stack="stack")
    assert found
    assert (await wait_run(world.context, found)).outcome.exit_code == 0  # type: ignore[union-attr]
    assert (await world.apply(service())).is_success
    assert kinds(world) == ["service"]
    assert [machine.state for machine in world.machines()] == ["started"]


async def test_a_service_that_becomes_a_task_is_stopped_and_nothing_runs() -> None:
    """With the same config too: what it is does not show there."""

    async def scenario(after: Spec) -> None:
        async with open_world() as world:
            await world.apply(service())
            starts = len(world.runtime.starts)
            report = await world.apply(after)
            assert report.is_success, report
            assert kinds(world) == ["task"]
            await world.context.clock.sleep(60)
            assert [machine.state for machine in world.machines()] == ["stopped"]
            assert len(world.runtime.starts) == starts
            assert not (await world.plan(after)).has_changes

    await scenario(task("no"))
    await scenario(task("always", "[run, '100000']"))


async def test_a_replaced_machine_is_ended_by_force_only_where_it_was_a_service(world: World) -> None:
    """The change was planned as a service's; under the lease it is a task's, and runs."""
    from reconciler.apply.actions import perform
    from reconciler.apply.options import Options
    from reconciler.model.spec import PoolKind

    await world.apply(task("no"))
    await world.context.clock.sleep(10)
    [change] = (await world.plan(EMPTY)).effective
    await world.invoke(task("no"), is_waiting=False)
    ended = await perform(world.context, replace(change, kind=PoolKind.SERVICE), "stack", Options())
    assert ended.status is Status.DEFERRED
    assert [machine.state for machine in world.machines()] == ["started"]


@pytest.mark.parametrize(("spec", "kind"), [(task("always"), "task"), (service("on-failure"), "service")])
async def test_status_tells_the_kind_of_a_pool_that_left_the_spec(world: World, spec: Spec, kind: str) -> None:
    from reconciler.machines_api.observe import observe
    from reconciler.operations.status import rows_of

    await world.apply(spec)
    observed = await observe(world.context.client, ["app"], clock=world.context.clock)
    assert [(row.pool, row.kind) for row in rows_of(EMPTY, observed)] == [("work", kind)]
