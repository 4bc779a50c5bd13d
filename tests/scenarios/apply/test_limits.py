"""The limit that the user gave holds, whatever is waited for: a machine that never settles, a platform that refuses."""

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.engine.faults.rules import ALWAYS
from reconciler.invoke.attach import cancel_run, wait_run
from reconciler.invoke.queue import OnBusy
from reconciler.invoke.runs import list_runs
from reconciler.model.report import Status
from reconciler.model.run import OutcomeName, RunState
from reconciler.model.spec import Spec
from reconciler.testing import scripted
from tests.support.world import World, app_text, open_world, spec_of, task_spec

WEB = app_text("""
    services:
      web: {{command: [run, '100000'], count: 1, env: {{V: '{}'}}, rollout: {{min_healthy: 0s}}}}
""")


def freeze(world: World, name: str, state: str) -> None:
    """Leaves the machine in this state for good."""
    machine = next(one for one in world.machines() if one.name == name)
    world.engine.store.save(replace(machine, state=state))


def emptied(spec: Spec) -> Spec:
    """The same stack, wanting no machine, as `destroy` plans it."""
    apps = tuple(replace(app, pools=tuple(replace(pool, counts={}) for pool in app.pools)) for app in spec.apps)
    return replace(spec, apps=apps)


@pytest.mark.parametrize("state", ["replacing", "updating", "creating"])
@pytest.mark.parametrize(("limit_s", "at_most_s"), [(5.0, 7.0), (0.0, 2.0), (None, 302.0)])
async def test_a_machine_that_never_settles_is_waited_for_no_longer_than_given(
    world: World, state: str, limit_s: float | None, at_most_s: float
) -> None:
    spec = task_spec(count="3")
    await world.apply(spec)
    freeze(world, "work-iad-1", state)
    began = world.context.clock.monotonic()
    report = await world.apply(emptied(spec), wait_busy_s=limit_s, verb="destroy")
    assert [machine.name for machine in world.machines()] == ["work-iad-1"]
    report, took_s = report, world.context.clock.monotonic() - began
    assert took_s <= at_most_s
    ends = {ended.slot.name: ended for ended in report.entries}
    assert ends["work-iad-1"].status is Status.FAILED
    assert ends["work-iad-1"].detail.startswith(f"still {state} after {limit_s if limit_s is not None else 300:g} s")
    assert ends["work-iad-0"].status is ends["work-iad-2"].status is Status.DONE


async def test_several_that_never_settle_share_the_limit(world: World) -> None:
    spec = task_spec(count="6")
    await world.apply(spec)
    for machine in world.machines():
        freeze(world, machine.name, "replacing")
    began = world.context.clock.monotonic()
    report = await world.apply(emptied(spec), wait_busy_s=5.0, parallelism=1)
    assert {ended.status for ended in report.entries} == {Status.FAILED}
    assert world.context.clock.monotonic() - began <= 7


@pytest.mark.parametrize("kind", ["task", "service"])
async def test_an_update_waits_no_longer_either(world: World, kind: str) -> None:
    specs = [task_spec(count="1"), task_spec("[exit, '1']", count="1")]
    if kind == "service":
        specs = [spec_of(WEB.format(1)), spec_of(WEB.format(2))]
    await world.apply(specs[0])
    [machine] = world.machines()
    freeze(world, machine.name, "replacing")
    began = world.context.clock.monotonic()
    report = await world.apply(specs[1], wait_busy_s=5.0)
    report, took_s = report, world.context.clock.monotonic() - began
    assert [ended.status for ended in report.entries] == [Status.FAILED]
    assert report.entries[0].detail.startswith("still replacing after 5 s")
    assert took_s <= 7


@pytest.mark.parametrize(("call", "fault"), [("wait", "rate_limited"), ("get", "unauthorized")])
async def test_a_platform_that_refuses_looks_does_not_lengthen_the_wait(world: World, call: str, fault: str) -> None:
    spec = task_spec("[run, '100000']", count="1")
    await world.apply(spec)
    await world.context.clock.sleep(1)
    await world.engine.start_machine("app", world.machines()[0].id, None)
    await world.context.clock.sleep(1)
    world.engine.faults.add(fault, calls=(call,), times=ALWAYS)
    began, asked = world.context.clock.monotonic(), len(world.transport.requests)
    report = await world.apply(emptied(spec), wait_busy_s=5.0)
    assert [ended.status for ended in report.entries] == [Status.DEFERRED]
    assert len(world.transport.requests) - asked < 40
    assert world.context.clock.monotonic() - began < 6


async def test_a_service_that_never_can_be_started_is_given_up(world: World) -> None:
    await world.apply(spec_of(WEB.format(1)))
    await world.engine.stop_machine("app", world.machines()[0].id, {}, None)
    await world.context.clock.sleep(30)
    world.engine.faults.add("not_startable", calls=("start",), times=ALWAYS)
    began = world.context.clock.monotonic()
    report = await world.apply(spec_of(WEB.format(1)))
    report, took_s = report, world.context.clock.monotonic() - began
    [ended] = report.entries
    assert ended.status is Status.FAILED
    assert "could not be started within 300 s" in ended.detail
    assert took_s < 310


async def test_a_rate_limit_does_not_outlast_the_wait_for_a_lease(world: World) -> None:
    await world.apply(task_spec(count="1"))
    world.engine.faults.add("rate_limited", calls=("lease",), times=ALWAYS)
    began = world.context.clock.monotonic()
    report = await world.apply(task_spec("[exit, '1']", count="1"), lock_timeout_s=1.0)
    report, took_s = report, world.context.clock.monotonic() - began
    assert [ended.status for ended in report.entries] == [Status.FAILED]
    assert "no usable answer in time" in report.entries[0].detail
    assert took_s < 40


@pytest.mark.parametrize(("call", "at_most_s"), [("list", 10.5), ("wait", 5.5), ("get", 5.5)])
async def test_a_rate_limit_does_not_outlast_the_queue(world: World, call: str, at_most_s: float) -> None:
    spec = task_spec("[run, '100000']", count="1")
    await world.apply(spec)
    await world.context.clock.sleep(1)
    await world.invoke(spec, is_waiting=False)
    world.engine.faults.add("rate_limited", calls=(call,), times=ALWAYS)
    began = world.context.clock.monotonic()
    run = await world.invoke(spec, queue_timeout_s=5.0)
    assert run.outcome.name is OutcomeName.BUSY
    assert 5 <= world.context.clock.monotonic() - began < at_most_s


async def test_a_lease_on_a_run_past_its_deadline_does_not_outlast_the_queue(world: World) -> None:
    spec = task_spec("[run, '100000']", count="1", extra="        timeout: 10s\n")
    await world.apply(spec)
    await world.context.clock.sleep(1)
    await world.invoke(spec, is_waiting=False)
    await world.context.clock.sleep(60)
    [machine] = world.machines()
    world.engine.faults.add("steal_lease", calls=("lease",), machine=machine.name, times=ALWAYS, seconds=600)
    began = world.context.clock.monotonic()
    assert (await world.invoke(spec, queue_timeout_s=5.0)).outcome.name is OutcomeName.BUSY
    assert world.context.clock.monotonic() - began < 7


async def test_without_a_queue_a_busy_task_is_told_as_ever(world: World) -> None:
    spec = task_spec("[run, '100000']", count="1")
    await world.apply(spec)
    await world.context.clock.sleep(1)
    await world.invoke(spec, is_waiting=False)
    assert (await world.invoke(spec, on_busy=OnBusy.FAIL)).outcome.name is OutcomeName.BUSY


async def _ignore(_self: Any, _number: int) -> None:
    """What a machine does that hangs: not even the kill ends it."""


async def test_a_run_that_does_not_end_after_its_stop_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripted._ScriptedRun, "signal", _ignore)

    async def timed_out(world: World, spec: Spec) -> None:
        began = world.context.clock.monotonic()
        run = await world.invoke(spec, timeout_s=10.0)
        assert run.outcome.name is OutcomeName.LOST
        assert run.outcome.exit_code == 122
        assert "it was stopped, and has not ended within 80 s" in run.outcome.message
        assert run.id
        assert run.id in (run.outcome.remedy or "")
        assert world.context.clock.monotonic() - began < 100

    async def cancelled(world: World, spec: Spec) -> None:
        await world.invoke(spec, is_waiting=False)
        [run] = await list_runs(world.context, "app", stack="stack")
        began = world.context.clock.monotonic()
        assert await cancel_run(world.context, run)
        info = await wait_run(world.context, run, was_stopped=True)
        assert info.state is RunState.RUNNING
        assert info.outcome
        assert info.outcome.name is OutcomeName.LOST
        assert f"reconciler wait {run.info.id}" in (info.outcome.remedy or "")
        assert world.context.clock.monotonic() - began < 90

    async def scenario(do: Any) -> None:
        async with open_world() as world:
            spec = task_spec("[run, '100000']", count="1", extra="        stop: {timeout: 20s}\n")
            await world.apply(spec)
            await world.context.clock.sleep(1)
            await do(world, spec)

    await scenario(timed_out)
    await scenario(cancelled)
