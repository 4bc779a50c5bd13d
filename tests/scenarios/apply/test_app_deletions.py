"""Apps go with their stack if that was asked for, and nothing is in them that is not the stack's."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.errors import BlockedError
from reconciler.model.plan import Plan
from reconciler.model.report import Report, Status
from reconciler.model.spec import Spec
from reconciler.operations.apply import carry_out
from reconciler.operations.destroy import propose_destroy
from reconciler.planner.hashes import plan_sha256
from reconciler.render.json import plan_json
from reconciler.render.markdown import plan_markdown
from reconciler.render.report import report_json, report_text
from reconciler.render.text import plan_text
from tests.support.copies import Copies
from tests.support.faults import FAULTS
from tests.support.world import World, spec_of

TEXT = """
version: 1
name: shop-pr-1
apps:
  own:
    name: shop-pr-1
    image: i
    tasks: {work: {command: [exit, '0'], count: 2}}
  shared:
    image: i
    tasks: {other: {command: [exit, '0']}}
"""


def spec(environment: str | None = "pr-1") -> Spec:
    return replace(spec_of(TEXT), environment=environment)


def apps(world: World) -> list[str]:
    return sorted(world.engine.store.apps)


async def planned(world: World, *, of: Spec | None = None, **options: Any) -> Plan:
    return (await propose_destroy(world.session, of or spec(), with_apps=True, **options)).plan


async def destroyed(world: World, *, of: Spec | None = None, wait_busy_s: float | None = None) -> Report:
    return await world.destroy(of or spec(), with_apps=True, wait_busy_s=wait_busy_s)


async def test_of_an_environment_only_those_with_its_name_go_and_the_others_are_told(world: World) -> None:
    await world.apply(spec())
    plan = await planned(world)
    assert [one.app for one in plan.app_deletions] == ["shop-pr-1"]
    assert plan.warnings == ("app shared is kept: its name does not contain pr-1",)
    report = await destroyed(world)
    assert report.is_success
    assert [(one.app, one.status) for one in report.app_deletions] == [("shop-pr-1", Status.DONE)]
    assert apps(world) == ["shared"]
    assert world.machines("shared") == []
    assert "shop-pr-1: app deleted" in world.said
    assert "app shop-pr-1 deleted" in report_text(report, verb="destroy")
    assert report_json(report)["app_deletions"] == [{"app": "shop-pr-1", "status": "done", "detail": ""}]


async def test_without_an_environment_all_apps_of_the_spec_go(world: World) -> None:
    await world.apply(spec(None))
    assert (await destroyed(world, of=spec(None))).is_success
    assert apps(world) == []


async def test_an_environment_is_a_whole_part_of_a_name(world: World) -> None:
    await world.apply(spec())
    for environment in ("p", "r-1", "pr-12", "hop-pr-1", "shop-pr-1-x"):
        assert (await planned(world, of=spec(environment))).app_deletions == ()
    for environment in ("pr-1", "shop-pr", "shop-pr-1"):
        assert [one.app for one in (await planned(world, of=spec(environment))).app_deletions] == ["shop-pr-1"]


async def test_what_goes_with_an_app_is_named_and_the_deletion_is_in_the_hash(world: World) -> None:
    await world.apply(spec())
    world.engine.addresses.assign("shop-pr-1", {"type": "v6"})
    world.engine.secrets.set("shop-pr-1", {"TOKEN": "canary"})
    plan = await planned(world)
    text = plan_text(plan, salt="s")
    assert "- delete app shop-pr-1  (with it go: v6 2001:db8::1, secret TOKEN)" in text
    assert "3 to destroy, 1 app to delete." in text
    shown = plan_markdown(plan, plan_sha256=None, salt="s")
    assert "- **- delete app** `shop-pr-1`, with `v6 2001:db8::1`, `secret TOKEN`" in shown
    document = plan_json(plan, plan_sha256=None, salt="s")
    assert document["app_deletions"] == [
        {"app": "shop-pr-1", "action": "delete", "ips": ["2001:db8::1"], "secrets": ["TOKEN"]}
    ]
    assert document["resource_changes"][-1]["change"]["actions"] == ["delete"]
    assert "canary" not in str(document)
    assert plan_sha256(plan) != plan_sha256(replace(plan, app_deletions=()))
    assert plan_sha256(plan) == plan_sha256(await planned(world))
    assert (await destroyed(world)).is_success


@pytest.mark.parametrize("name", ["theirs", "work-iad-0-copy"])
async def test_a_machine_of_another_owner_or_a_clone_prevents_it(world: World, name: str) -> None:
    await world.apply(spec())
    config = world.machines("shop-pr-1")[0].config if "copy" in name else {"image": "x"}
    made = world.engine.create("shop-pr-1", {"name": name, "config": config, "skip_launch": True})
    (why,) = (await planned(world)).blocked
    assert why.startswith(f"app shop-pr-1 cannot be deleted, since it has what is not this stack's: machine {name} (")
    assert why.endswith("remove that, or destroy without --delete-apps")
    with pytest.raises(BlockedError, match="cannot be deleted"):
        await destroyed(world)
    assert len(world.machines("shop-pr-1")) == 3
    assert (await world.destroy(spec())).is_success
    assert [machine.id for machine in world.machines("shop-pr-1")] == [made.id]


async def test_a_volume_prevents_it_and_in_a_kept_app_nothing_does(world: World) -> None:
    await world.apply(spec())
    world.add_volumes("vol_1", app="shared")
    assert (await planned(world)).blocked == ()
    world.add_volumes("vol_2", app="shop-pr-1")
    assert "not this stack's: volume vol_2;" in (await planned(world)).blocked[0]


async def test_what_came_into_an_app_after_it_was_planned_prevents_it(world: World) -> None:
    await world.apply(spec())
    proposal = await propose_destroy(world.session, spec(), with_apps=True)
    theirs = {"name": "theirs", "config": {"image": "x"}, "skip_launch": True}
    made = world.engine.create("shop-pr-1", theirs)
    world.add_volumes("vol_1", app="shop-pr-1")
    report = await carry_out(world.session, proposal)
    assert not report.is_success
    (ended,) = report.app_deletions
    assert ended.status is Status.FAILED
    assert ended.detail == "it was not deleted: since it was planned there is machine theirs, volume vol_1 in it"
    assert "failed: delete app shop-pr-1: it was not deleted" in report_text(report, verb="destroy")
    assert [machine.id for machine in world.machines("shop-pr-1")] == [made.id]


async def test_an_app_waits_for_the_runs_in_it(world: World) -> None:
    running = spec_of(TEXT.replace("[exit, '0'], count: 2", "[run, '100']"))
    await world.apply(replace(running, environment="pr-1"))
    await world.context.clock.sleep(1)
    await world.engine.start_machine("shop-pr-1", world.machines("shop-pr-1")[0].id, None)
    report = await destroyed(world)
    assert [(one.status, one.detail) for one in report.app_deletions] == [
        (Status.DEFERRED, "not all of its machines are destroyed")
    ]
    assert apps(world) == ["shared", "shop-pr-1"]
    report = await destroyed(world, wait_busy_s=600)
    assert [one.status for one in report.app_deletions] == [Status.DONE]
    assert report.is_success
    assert apps(world) == ["shared"]


async def test_where_nothing_is_there_nothing_is_asked_of_an_app_and_nothing_written(world: World) -> None:
    plan = await planned(world)
    assert not plan.has_changes
    assert plan.warnings == plan.blocked == ()
    report = await destroyed(world)
    assert report.is_success
    assert report_text(report, verb="destroy") == "Nothing to destroy: stack shop-pr-1 has no machine."
    assert {request.split(" ")[0] for request in world.transport.requests} == {"GET"}
    assert len(world.transport.requests) == 8  # of each app the list and the app, for two plans


async def test_an_app_without_machines_goes_too(world: World) -> None:
    await world.apply(spec())
    await world.destroy(spec())
    assert apps(world) == ["shared", "shop-pr-1"]
    plan = await planned(world)
    assert plan.has_changes
    assert not plan.effective
    assert (await destroyed(world)).is_success
    assert apps(world) == ["shared"]


async def test_an_app_that_this_process_made_is_not_waited_for_after_it_is_deleted(world: World) -> None:
    await world.apply(spec())
    began = world.context.clock.monotonic()
    assert (await destroyed(world)).is_success
    assert not (await planned(world)).has_changes
    assert world.context.clock.monotonic() - began < 30


async def test_two_at_once_both_end_well(world: World) -> None:
    await world.apply(spec())
    await world.context.clock.sleep(61)  # then both know the apps, and wait for none of them
    reports = await asyncio.gather(*(destroyed(world, wait_busy_s=60) for _ in range(2)))
    assert all(report.is_success for report in reports), [
        (one.entries, one.failures, one.mismatches) for one in reports
    ]
    assert apps(world) == ["shared"]


async def finish(world: World) -> None:
    """Without faults one more destroy ends it, and no other app was deleted."""
    world.transport.relent()
    await world.context.clock.sleep(200)
    report = await destroyed(world, of=SMALL)
    assert report.is_success, (report.entries, report.mismatches, report.failures, report.app_deletions)
    assert apps(world) == []
    assert not (await planned(world, of=SMALL)).has_changes


SMALL = replace(
    spec_of(TEXT.partition("  shared:")[0].replace(", count: 2", "")),
    environment="pr-1",
)
STRUCK = sorted(FAULTS.keys() - {"502 after", "408 after", "500 before", "HTML after", "two minutes of silence"})


@pytest.mark.slow
async def test_killed_at_any_request_and_run_again_it_ends(world: World) -> None:
    await world.apply(SMALL)
    with Copies() as copies:
        await copies.kill(world, destroyed(world, of=SMALL))
        await finish(world)
    assert copies.made == 17


@pytest.mark.slow
@pytest.mark.parametrize("fault", STRUCK)
async def test_whatever_becomes_of_a_call_of_the_deletion_it_ends(world: World, fault: str) -> None:
    await world.apply(SMALL)
    await world.destroy(SMALL)  # what becomes of machines is in the fault matrix
    proposal = await propose_destroy(world.session, SMALL, with_apps=True)
    with Copies() as copies:
        with copies.strike(world, fault):
            report = await carry_out(world.session, proposal)
        assert report.is_success or copies.is_copy
        assert report.is_success or apps(world) == ["shop-pr-1"] or report.app_deletions[0].status is Status.UNKNOWN
        await finish(world)
    assert copies.made == 5
