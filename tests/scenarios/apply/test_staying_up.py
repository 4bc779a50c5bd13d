"""A changed service is watched until it was seen to stay up; one that crashes stops the apply where it is."""

import asyncio

import pytest
from msgspec.structs import replace

from reconciler.apply.executor import Stop
from reconciler.engine.faults.settings import LATENCIES, Behaviour, Settings
from reconciler.engine.models import CheckResult
from reconciler.model.report import Report, Status
from reconciler.render.report import report_json, report_text
from tests.support.services import CRASHING, HEALTHY, RESTS, by_slot, commands_of, played, service, timed
from tests.support.world import World, spec_of


async def test_an_update_that_crashes_stops_at_the_first_machine_and_says_why(world: World) -> None:
    assert (await world.apply(service(count="4"))).is_success
    report, took_s = await timed(world, service(CRASHING, count="4"))
    assert not report.is_success
    assert took_s < 10
    ended = by_slot(report)
    assert [one.status for one in ended.values()] == [Status.FAILED, *[Status.SKIPPED] * 3]
    first = ended["web-iad-0"]
    assert "exited with code 3" in first.detail
    assert first.unhealthy
    assert first.unhealthy.ended
    assert first.unhealthy.ended.code == 3
    assert first.unhealthy.log[:2] == ("listening", "no database")
    assert commands_of(world) == ["say", "run", "run", "run"]
    text = report_text(report)
    assert "  | no database" in text
    [shown, *others] = report_json(report)["entries"]
    assert shown["unhealthy"]["exit_code"] == 3
    assert shown["unhealthy"]["log"] == list(first.unhealthy.log)
    assert [one["unhealthy"] for one in others] == [None] * 3


def test_the_exit_of_the_version_before_is_never_taken_for_one_of_the_new() -> None:
    async def scenario(world: World) -> None:
        await world.apply(service(count="2"))
        report, took_s = await timed(world, service("[run, '2000000000']", count="2"))
        assert report.is_success, report
        assert 20 <= took_s < 30  # one after the other

    played(scenario)
    played(scenario, settings=Settings(latency=replace(LATENCIES["fly"], list_lag_s=0.0)))


@pytest.mark.parametrize("parallelism", [1, 10])
async def test_new_machines_are_watched_side_by_side(world: World, parallelism: int) -> None:
    report, took_s = await timed(world, service(count="12"), parallelism=parallelism)
    assert report.is_success
    assert 10 <= took_s < 15


@pytest.mark.parametrize(
    ("command", "is_up"),
    [
        ("[exit, '0']", False),
        ("[run, '8', exit, '1']", False),
        ("[run, '11', exit, '1']", True),
        ("[die, '11']", False),
    ],
)
@pytest.mark.parametrize("restart", ["always", "on-failure", "'no'"])
async def test_what_ends_within_the_time_has_failed_whatever_its_code_and_its_restart_policy(
    world: World, command: str, is_up: bool, restart: str
) -> None:
    report = await world.apply(service(f"{command}, restart: {restart}"))
    [ended] = report.entries
    assert (ended.status is Status.DONE) is is_up
    assert (ended.unhealthy is None) is is_up


async def test_a_service_that_is_not_to_be_watched_is_done_once_it_runs(world: World) -> None:
    report, took_s = await timed(world, service(CRASHING, rollout="{min_healthy: 0s}"))
    assert [ended.status for ended in report.entries] == [Status.DONE]
    assert took_s < 1


async def test_how_long_is_the_specs_to_say_and_changing_it_changes_no_machine(world: World) -> None:
    late = "[run, '20', exit, '1']"
    assert (await world.apply(service(late, rollout="{min_healthy: 5s}"))).is_success
    assert not (await world.plan(service(late, rollout="{min_healthy: 1m}"))).has_changes
    again = service(f"{late}, env: {{A: '1'}}", rollout="{min_healthy: 1m}")
    report, took_s = await timed(world, again)
    assert not report.is_success
    assert took_s < 30


@pytest.mark.world(Settings(behaviour=Behaviour(events_shown=1)))
async def test_a_crash_is_found_though_the_machine_itself_tells_only_its_newest_events(world: World) -> None:
    assert (await world.apply(service())).is_success
    report = await world.apply(service(CRASHING))
    [ended] = report.entries
    assert ended.unhealthy
    assert ended.unhealthy.ended
    assert ended.unhealthy.ended.code == 3


@pytest.mark.world(paced=True)
async def test_a_new_machine_that_crashes_lets_no_further_one_of_its_service_begin(world: World) -> None:
    report = await world.apply(service(CRASHING, count="30"))
    statuses = [ended.status for ended in report.entries]
    assert statuses.count(Status.SKIPPED) > 10
    assert len(world.machines()) == 30 - statuses.count(Status.SKIPPED)
    skipped = next(ended for ended in report.entries if ended.status is Status.SKIPPED)
    assert "did not stay up" in skipped.detail


async def test_a_service_that_crashes_does_not_stop_the_others(world: World) -> None:
    both = "db: {command: [run, '1000000000'], count: 2}, "
    text = "version: 1\nname: stack\napps:\n  app: {{image: i, services: {{{}web: {{command: {}, count: 2}}}}}}\n"
    await world.apply(spec_of(text.format(both, HEALTHY)))
    changed = both.replace("1000000000", "2000000000")
    report = await world.apply(spec_of(text.format(changed, CRASHING)))
    assert {name: ended.status for name, ended in by_slot(report).items()} == {
        "db-iad-0": Status.DONE,
        "db-iad-1": Status.DONE,
        "web-iad-0": Status.FAILED,
        "web-iad-1": Status.SKIPPED,
    }


async def test_a_service_that_is_started_again_is_watched_too(world: World) -> None:
    spec = service("[run, '60', exit, '1'], restart: 'no'")
    assert (await world.apply(spec)).is_success
    await world.context.clock.sleep(100)
    world.runtime.script(("err", "broken", "exit", "7"))
    report = await world.apply(spec)
    [ended] = report.entries
    assert ended.status is Status.FAILED
    assert ended.unhealthy
    assert ended.unhealthy.log == ("broken",)


async def test_of_a_service_that_may_rest_the_first_changed_machine_alone_is_started_to_be_seen_up(
    world: World,
) -> None:
    await world.apply(service(RESTS.format(HEALTHY), count="3"))
    for machine in world.machines():
        await world.engine.stop_machine("app", machine.id, {}, None)
    await world.context.clock.sleep(10)
    assert {machine.state for machine in world.machines()} == {"stopped"}
    world.runtime.starts.clear()
    report, took_s = await timed(world, service(RESTS.format("[run, '2000000000']"), count="3"))
    assert report.is_success
    assert [launch.name for launch in world.runtime.starts] == ["web-iad-0"]
    assert 10 <= took_s < 15
    for machine in world.machines():
        if machine.state == "started":
            await world.engine.stop_machine("app", machine.id, {}, None)
    await world.context.clock.sleep(10)
    report = await world.apply(service(RESTS.format(CRASHING), count="3"))
    assert [ended.status for ended in report.entries] == [Status.FAILED, Status.SKIPPED, Status.SKIPPED]


def test_a_crash_ends_the_wait_for_checks_at_once_and_checks_that_fail_are_named() -> None:
    checked = "{}, ports: [80], checks: {{alive: {{path: /}}}}"

    async def scenario(world: World) -> None:
        async def report_of(command: str) -> tuple[Report, float]:
            applying = asyncio.create_task(timed(world, service(checked.format(command))))
            while not (world.engine.store.apps and world.machines()):
                await world.context.clock.sleep(0.01)
            world.engine.check_results.begin(
                world.machines()[0], ["alive"], CheckResult(status="critical", output="refused")
            )
            return await applying

        report, took_s = await report_of("[run, '30', err, 'gave up', exit, '1']")
        assert took_s < 40
        assert report.entries[0].unhealthy
        assert report.entries[0].unhealthy.log == ("gave up",)
        report, took_s = await report_of("[say, up, run, '1000000']")
        assert 300 <= took_s < 320
        assert report.entries[0].detail == "its health checks do not pass: alive critical (refused)"
        assert report.entries[0].unhealthy
        assert report.entries[0].unhealthy.log == ("up",)

    played(scenario)


async def test_an_interrupt_ends_the_watching(world: World) -> None:
    stop = Stop()
    applying = asyncio.create_task(timed(world, service(rollout="{min_healthy: 5m}"), stop=stop))
    await world.context.clock.sleep(5)
    stop.interrupt()
    report, took_s = await applying
    assert report.interrupted
    assert took_s < 6
    assert [ended.status for ended in report.entries] == [Status.UNKNOWN]
    assert "interrupted before it was seen to stay up" in report.entries[0].detail
