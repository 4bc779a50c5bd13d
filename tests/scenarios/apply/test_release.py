"""`release`: our marks are taken off, nothing restarts, and another tool may have the machines."""

from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.canonical.change_hashes import change_hashes, set_sha256
from reconciler.engine.faults.settings import LATENCIES, Settings
from reconciler.model import marks
from reconciler.model.approval import Approval
from reconciler.model.change import Action
from reconciler.model.marks import is_mark
from reconciler.model.report import Report, Status
from reconciler.model.revision import numbered
from reconciler.model.run_policy import Override
from reconciler.model.selection import Selection
from reconciler.model.spec import Spec
from reconciler.operations.apply import Proposal, carry_out
from reconciler.operations.consent import Consent
from reconciler.operations.release import propose_release
from tests.support.faults import FAULTS, after_requests, dying
from tests.support.world import CHECKED, World, app_spec, open_world, task_spec

WORK = task_spec("[run, '30']")
BOTH = app_spec(
    """
    tasks: {work: {command: [run, '30'], count: 2}, other: {command: [run, '5']}}
    services: {web: {command: [run, '1000000000'], count: 2}}
"""
)


async def proposed(world: World, spec: Spec, consent: Consent | None = None, **options: Any) -> Proposal:
    return await propose_release(world.session, spec, consent, **options)


async def release(world: World, spec: Spec, *, wait_busy_s: float | None = None, **options: Any) -> Report:
    return await carry_out(world.session, await proposed(world, spec, **options), wait_busy_s=wait_busy_s)


def marked(world: World) -> dict[str, set[str]]:
    """Our marks by machine, of those that have any."""
    found = {one.name: {key for key in one.config["metadata"] if is_mark(key)} for one in world.machines()}
    return {name: keys for name, keys in found.items() if keys}


async def test_a_released_machine_goes_on_carries_no_mark_and_can_be_adopted(world: World) -> None:
    assert (await world.apply(BOTH)).is_success
    await world.context.clock.sleep(120)
    before = {one.id: (one.state, one.instance_id) for one in world.machines()}
    starts = len(world.runtime.starts)
    report = await release(world, BOTH)
    assert report.is_success
    assert {entry.action for entry in report.entries} == {Action.RELEASE}
    assert marked(world) == {}
    assert {one.id: (one.state, one.instance_id) for one in world.machines()} == before
    assert len(world.runtime.starts) == starts
    plan = await world.plan(BOTH)
    assert len(plan.foreign) == len(plan.blocked) == 5
    assert all("take it over with --adopt" in blocked for blocked in plan.blocked)
    assert not (await proposed(world, BOTH)).plan.has_changes
    adopted = await world.apply(BOTH, adopt=True)
    assert adopted.is_success
    assert {entry.action for entry in adopted.entries} == {Action.ADOPT}
    assert not (await world.plan(BOTH)).has_changes


async def test_other_keys_than_ours_stay_and_the_owner_goes_first(world: World) -> None:
    await world.apply(WORK)
    [first, _second] = world.machines()
    await world.context.client.set_metadata("app", first.id, "theirs", "x")
    world.transport.requests.clear()
    assert (await release(world, WORK)).is_success
    assert world.machines()[0].config["metadata"] == {"theirs": "x"}
    deleted = [one.rpartition("/")[2] for one in world.transport.requests if f"{first.id}/metadata" in one]
    assert deleted[0] == marks.STACK
    assert deleted[-2:] == [marks.POOL, marks.SLOT]


async def test_only_the_pools_asked_for_are_released_and_the_revision_stays_known(world: World) -> None:
    assert (await world.apply(BOTH, revision=numbered(7))).is_success
    await world.context.clock.sleep(120)
    [keeper] = [one for one in world.machines() if marks.HIGHEST in one.config["metadata"]]
    pool = keeper.config["metadata"][marks.POOL]
    report = await release(world, BOTH, selection=Selection(only=(pool,)))
    assert report.is_success
    assert {entry.slot.pool for entry in report.entries} == {pool}
    assert not any(name.startswith(pool) for name in marked(world))
    plan = await world.plan(BOTH, selection=Selection(only=("work",)), revision=numbered(6))
    assert any("7 was applied already" in blocked for blocked in plan.blocked), plan.blocked


async def test_a_run_in_progress_is_waited_for_and_ends_as_ever(world: World) -> None:
    await world.apply(WORK)
    run = await world.invoke(WORK, is_waiting=False)
    report = await release(world, WORK)
    assert [entry.status for entry in report.entries if run.slot == entry.slot] == [Status.DEFERRED]
    assert len(marked(world)) == 1
    report = await release(world, WORK, wait_busy_s=600.0)
    assert report.is_success
    assert marked(world) == {}


async def test_a_run_whose_invoker_was_killed_leaves_no_config_of_its_own(world: World) -> None:
    spec = task_spec("[run, '5']", count="1", extra="        args: [exit, '1']\n        overrides: {args: true}\n")
    await world.apply(spec)
    await world.context.clock.sleep(120)
    applied = world.machines()[0].config["init"]
    with dying(world.transport, lambda request: request.url.path.endswith("/start")):
        await world.invoke(spec, override=Override(args=("exit", "0")))
    await world.context.clock.sleep(120)
    assert world.machines()[0].config["init"] != applied
    assert (await release(world, spec)).is_success
    assert world.machines()[0].config["init"] == applied
    assert marked(world) == {}


async def test_machines_of_others_are_left_alone(world: World) -> None:
    await world.apply(WORK)
    clone = dict(world.machines()[0].config)
    world.engine.create("app", {"name": "work-iad-7", "skip_launch": True, "config": clone})
    world.engine.create("app", {"name": "theirs", "skip_launch": True, "config": {"image": "x", "metadata": {}}})
    report = await release(world, WORK)
    assert {entry.slot.name for entry in report.entries} == {"work-iad-0", "work-iad-1"}
    assert {*marked(world)} == {"work-iad-7"}


async def test_only_what_was_approved_is_released(world: World) -> None:
    await world.apply(WORK)
    plan = (await proposed(world, WORK)).plan
    good = Consent(approvals=(Approval(plan_sha256=set_sha256(change_hashes(plan))),))
    bad = Consent(approvals=(Approval(plan_sha256="sha256:" + "0" * 64),))
    assert (await proposed(world, WORK, bad)).objections
    await world.apply(task_spec("[run, '30']", count="3"))
    [why, *_] = (await proposed(world, WORK, good)).objections
    assert "approved" in why
    await world.apply(WORK)
    proposal = await proposed(world, WORK, good)
    assert not proposal.objections
    assert (await carry_out(world.session, proposal)).is_success


async def test_what_someone_changed_since_it_was_planned_is_not_released(world: World) -> None:
    await world.apply(WORK)
    proposal = await proposed(world, WORK)
    await world.apply(task_spec("[run, '31']"))
    report = await carry_out(world.session, replace(proposal, may_do=lambda plan: replace(plan, changes=())))
    assert not report.is_success
    assert len(marked(world)) == 2


@pytest.mark.world(Settings(latency=replace(LATENCIES["fly"], list_lag_s=0.0)))
async def test_machines_with_checks_are_released_one_after_the_other_once_these_pass(world: World) -> None:
    assert (await world.apply(CHECKED)).is_success
    await world.context.clock.sleep(60)
    plan = (await proposed(world, CHECKED)).plan
    assert [change.depends_on for change in plan.changes] == [(), (plan.changes[0].address,)]
    report = await release(world, CHECKED)
    assert report.is_success
    assert marked(world) == {}
    for machine in await world.context.client.list_machines("app") or ():
        assert machine.checks
        assert all(check.status == "passing" for check in machine.checks)


@pytest.mark.slow
@pytest.mark.parametrize("requests", range(0, 40, 3))
async def test_a_release_that_is_cut_off_is_finished_by_the_next(requests: int) -> None:
    async with open_world() as world:
        await world.apply(WORK)
        before = {one.id: one.instance_id for one in world.machines()}
        with dying(world.transport, after_requests(requests)):
            await release(world, WORK)
        await world.context.clock.sleep(120)
        assert (await release(world, WORK)).is_success
        assert marked(world) == {}
        assert {one.id: one.instance_id for one in world.machines()} == before


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_lost_reply_leaves_no_mark_behind(world: World, fault: str) -> None:
    await world.apply(WORK)
    world.transport.strike(fault, ahead=6)
    await release(world, WORK)
    world.transport.relent()
    await world.context.clock.sleep(300)
    assert (await release(world, WORK)).is_success
    assert marked(world) == {}
