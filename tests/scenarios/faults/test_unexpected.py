"""An error that nobody expected, at any request of an apply: its change is unknown, and the others are told."""

from collections.abc import Callable
from functools import partial

import httpx
import pytest

from reconciler.apply.options import Options
from reconciler.apply.retry_deferred import apply_patiently
from reconciler.machines_api.observe import observe
from reconciler.model.report import Entry, Report, Status
from reconciler.model.run import OutcomeName
from reconciler.model.spec import Spec
from reconciler.planner.planner import plan as make_plan
from reconciler.render.report import report_text
from tests.support.world import World, app_spec, open_world, spec_of, task_spec

BEFORE = app_spec("""
    tasks:
      changed: {command: [exit, '1'], count: 2}
      gone: {command: [exit, '3'], count: 2}
      busy: {command: [run, '100000'], count: 2}
    services:
      web: {command: [run, '100000000'], count: 2, rollout: {min_healthy: 1s}}
""")
AFTER = spec_of("""
version: 1
name: stack
apps:
  app:
    image: registry.example/app:1
    tasks:
      changed: {command: [exit, '4'], count: 3}
      gone: {command: [exit, '3'], count: 1}
      busy: {command: [run, '100001'], count: 2}
    services:
      web: {command: [run, '100000000'], count: 2, env: {NEW: '1'}, rollout: {min_healthy: 1s}}
  other:
    image: registry.example/app:1
    tasks:
      added: {command: [exit, '5']}
""")


class BugError(Exception):
    """An error that nobody expected."""


def break_requests(world: World, is_hit: Callable[[str], bool], *, times: int = 1) -> None:
    """Lets the next requests of which `is_hit` is true fail as no request should."""
    left = times

    def before(request: httpx.Request) -> None:
        nonlocal left
        if left and is_hit(f"{request.method} {request.url.path}"):
            left -= 1
            raise BugError(f"at {request.method}")

    world.transport.before = before


async def set_up(world: World) -> None:
    assert (await world.apply(BEFORE)).is_success
    await world.context.clock.sleep(1)
    busy = next(machine for machine in world.machines() if machine.name == "busy-iad-0")
    await world.engine.start_machine("app", busy.id, None)
    await world.context.clock.sleep(1)


async def applied(world: World, spec: Spec, *, at: int, count: list[int]) -> Report:
    """The report of an apply whose request `at` fails; `count` gets the number of its requests."""
    plan_again = partial(make_plan, spec, allow_destroy=1000)
    seen = await observe(world.context.client, [app.name for app in spec.apps], clock=world.context.clock)
    began = len(world.transport.requests)
    break_requests(world, lambda _line: len(world.transport.requests) - began == at + 1)
    report = await apply_patiently(
        world.context, spec, plan_again(seen), plan_again, Options(), wait_busy_s=0.0, observed=seen
    )
    count.append(len(world.transport.requests) - began)
    world.transport.before = lambda _request: None
    return report


@pytest.mark.slow
async def test_at_any_request_the_others_are_told() -> None:
    async def scenario(at: int) -> int:
        count: list[int] = []
        async with open_world() as world:
            await set_up(world)
            report = await applied(world, AFTER, at=at, count=count)
            assert len(report.entries) == len(report.plan.effective)
            if at < count[0]:
                assert not report.is_success
                assert [type(bug) for bug in world.bugs] == [BugError]
                assert "unexpected BugError: at " in report_text(report) + "".join(world.said)
            await world.context.clock.sleep(400)
            assert (await world.apply(AFTER)).is_success
            world.assert_unique_names()
        return count[0]

    total, at = 1, 0
    while at <= total:
        total = max(total, await scenario(at))
        at += 1
    assert total > 60


async def test_progress_that_cannot_be_shown_loses_no_end() -> None:
    def fail(ended: Entry) -> None:
        raise BugError(ended.slot.name)

    async with open_world() as world:
        report = await world.apply(BEFORE, on_end=fail)
    assert {ended.status for ended in report.entries} == {Status.DONE}
    assert len(report.failures) == len(report.entries) == 8
    assert "app/web-iad-1: its progress could not be shown: unexpected BugError: web-iad-1" in report_text(report)


async def test_a_round_that_cannot_be_planned_keeps_the_report_of_the_one_before(world: World) -> None:
    spec = task_spec("[run, '100']", count="2")
    await world.apply(spec)
    await world.context.clock.sleep(1)
    busy = world.machines()[0]
    await world.engine.start_machine("app", busy.id, None)
    await world.context.clock.sleep(1)
    world.engine.faults.add("unauthorized", calls=("list",), after=2, times=9)
    report = await world.apply(task_spec("[run, '101']", count="2"), wait_busy_s=600.0)
    assert [ended.status for ended in report.entries] == [Status.DEFERRED, Status.DONE]
    assert any("could not be planned again" in failure for failure in report.failures)


@pytest.mark.slow
async def test_at_any_request_of_an_invoke_its_run_is_named_once_it_may_have_started() -> None:
    async def scenario(at: int) -> tuple[int, str]:
        async with open_world() as world:
            spec = task_spec("[say, hello, run, '3', exit, '7']", count="1")
            await world.apply(spec)
            await world.context.clock.sleep(1)
            began = len(world.transport.requests)
            break_requests(world, lambda _line: len(world.transport.requests) - began == at + 1)
            try:
                run = await world.invoke(spec, take_line=lambda _line: None)
            except BugError:
                assert world.runtime.starts == []
                return len(world.transport.requests) - began, "raised"
            if run.outcome.exit_code != 7:
                assert run.outcome.name is OutcomeName.LOST
                assert run.id
                assert f"reconciler wait {run.id}" in (run.outcome.remedy or "")
                assert "unexpected BugError" in run.outcome.message
            return len(world.transport.requests) - began, run.outcome.name.value

    ends, at, total = [], 0, 1
    while at <= total:
        count, end = await scenario(at)
        total = max(total, count)
        ends.append(end)
        at += 1
    before = ends.index("lost")
    assert set(ends[:before]) == {"raised"}
    assert set(ends[before:]) == {"lost", "failed"}
