"""What is left of an approved plan, where others have changed, locked or hidden machines since it was approved."""

import pytest
from msgspec.structs import replace

from reconciler.apply.options import Options
from reconciler.engine.models import Lease, Machine
from reconciler.errors import StalePlanError
from reconciler.model.report import Reason, Report, Status
from reconciler.model.revision import numbered
from reconciler.model.spec import Spec
from reconciler.operations.apply import carry_out, propose_apply
from reconciler.operations.consent import Consent
from reconciler.slots.lease_description import describe
from tests.support.approvals import ALLOWED, WAYS, apply_approved
from tests.support.world import NO_IMAGES, World, task_spec

HOLDER = describe("apply", "0" * 26, "carol@build-7 pid 12")
BEFORE, AFTER = (task_spec(f"[run, '{seconds}']") for seconds in (1000, 1001))


def machine_of(world: World, name: str) -> Machine:
    return next(one for one in world.machines() if one.name == name)


def lock(world: World, name: str, *, for_s: float) -> None:
    until = world.engine.clock.now().timestamp() + for_s
    lease = Lease(nonce="x", expires_at=until, owner="bob@tokens.fly.io", description=HOLDER, version="")
    world.engine.store.save(replace(machine_of(world, name), lease=lease))


async def approved(world: World, way: str, before: Spec, after: Spec) -> Consent:
    assert (await world.apply(before, revision=numbered(1))).is_success
    await world.context.clock.sleep(60)
    return WAYS[way](await world.plan(after, allow_destroy=ALLOWED), after)


def ends(report: Report) -> dict[str, tuple[Status, Reason | None]]:
    return {ended.slot.name: (ended.status, ended.reason) for ended in report.entries}


@pytest.mark.parametrize("way", WAYS)
async def test_a_machine_of_the_plan_that_was_deleted_by_hand_is_made_again(world: World, way: str) -> None:
    more = task_spec("[run, '1000']", count="3")
    consent = await approved(world, way, BEFORE, more)
    assert (await apply_approved(world, more, consent, revision=numbered(2))).is_success
    made = machine_of(world, "work-iad-2")
    await world.engine.destroy("app", made.id, None, force=True)
    await world.context.clock.sleep(60)
    again = await apply_approved(world, more, consent, revision=numbered(2))
    assert again.is_success
    assert not again.is_nothing_left
    assert machine_of(world, "work-iad-2").id != made.id


@pytest.mark.parametrize("way", WAYS)
async def test_another_applys_lease_is_waited_for_and_else_the_plan_is_not_done(world: World, way: str) -> None:
    consent = await approved(world, way, BEFORE, AFTER)
    lock(world, "work-iad-1", for_s=1000)
    report = await apply_approved(world, AFTER, consent, revision=numbered(2))
    assert ends(report)["work-iad-1"] == (Status.FAILED, Reason.LOCK)
    assert not report.is_success
    assert not report.is_nothing_left
    lock(world, "work-iad-1", for_s=50)
    assert (await apply_approved(world, AFTER, consent, revision=numbered(2))).is_success
    assert (await apply_approved(world, AFTER, consent, revision=numbered(2))).is_nothing_left


@pytest.mark.parametrize("way", WAYS)
async def test_with_a_run_in_progress_something_is_left_of_the_plan(world: World, way: str) -> None:
    consent = await approved(world, way, BEFORE, AFTER)
    await world.engine.start_machine("app", machine_of(world, "work-iad-1").id, None)
    await world.context.clock.sleep(1)
    for _ in range(2):
        report = await apply_approved(world, AFTER, consent, revision=numbered(2))
        assert ends(report)["work-iad-1"] == (Status.DEFERRED, Reason.RUN)
        assert report.is_success
        assert not report.is_nothing_left
    await world.context.clock.sleep(2000)
    assert (await apply_approved(world, AFTER, consent, revision=numbered(2))).is_success
    assert (await apply_approved(world, AFTER, consent, revision=numbered(2))).is_nothing_left


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["work-iad-0", "work-iad-1"])
async def test_a_slot_that_cannot_be_observed_may_be_left_of_the_plan(world: World, way: str, name: str) -> None:
    consent = await approved(world, way, BEFORE, AFTER)
    world.engine.faults.add(fault="host_unreachable", machine=name)
    try:
        report = await apply_approved(world, AFTER, consent, revision=numbered(2))
    except StalePlanError:
        assert way == "hash"
    else:
        assert not report.is_success
        assert not report.is_nothing_left
    world.engine.faults.rules.clear()
    assert (await apply_approved(world, AFTER, consent, revision=numbered(2))).is_success
    assert not (await world.plan(AFTER)).has_changes


@pytest.mark.parametrize("way", WAYS)
async def test_what_was_not_approved_is_not_done_after_a_wait_for_a_run(world: World, way: str) -> None:
    consent = await approved(world, way, BEFORE, AFTER)
    await world.engine.start_machine("app", machine_of(world, "work-iad-1").id, None)
    await world.context.clock.sleep(1)
    proposal = await propose_apply(world.session, AFTER, consent, Options(revision=numbered(2)), images=NO_IMAGES)

    def edit_later(_request: object) -> None:
        machine = machine_of(world, "work-iad-0")
        if machine.config["init"]["cmd"][1] == "1001" and "waiting for 1 run in progress" in world.said:
            world.engine.store.save(replace(machine, config=machine.config | {"env": {"BY": "hand"}}))
            world.transport.before = lambda _request: None

    world.transport.before = edit_later
    report = await carry_out(world.session, proposal, wait_busy_s=2000)
    assert machine_of(world, "work-iad-0").config["env"] == {"BY": "hand"}
    assert machine_of(world, "work-iad-1").config["init"]["cmd"][1] == "1001"
    assert not report.is_success, report


@pytest.mark.parametrize("way", WAYS)
async def test_the_revision_fence_stands_above_what_was_approved(world: World, way: str) -> None:
    consent = await approved(world, way, BEFORE, AFTER)
    assert (await world.apply(BEFORE, revision=numbered(3))).is_success
    report = await apply_approved(world, AFTER, consent, revision=numbered(2))
    assert (report.superseded_by, report.entries) == (numbered(3), ())
    assert not (await world.plan(BEFORE)).has_changes
    back = replace(consent, allow_rollback=True)
    assert (await apply_approved(world, AFTER, back, revision=numbered(2))).is_success
    assert not (await world.plan(AFTER)).has_changes
