"""An approved plan is cut off at every request of its apply, and resumed with the same approval to its end.

An app is created, machines are created, updated, replaced and destroyed, settings and marks are written. What was
approved is a saved plan, the set of its changes, or the plan's hash alone.
"""

import asyncio
import os
from contextlib import suppress

import pytest

from reconciler.errors import BlockedError, ReconcilerError, StalePlanError
from reconciler.model.change import Action
from reconciler.model.report import Report, Status
from reconciler.model.revision import numbered
from reconciler.model.spec import Spec
from reconciler.operations.consent import Consent
from tests.support.approvals import ALLOWED, WAYS, apply_approved
from tests.support.copies import Copies
from tests.support.faults import FAULTS, dying
from tests.support.world import World, app_text, spec_of, task_spec

pytestmark = pytest.mark.slow

KILL = "killed"
IS_EXPLORING = bool(os.environ.get("RECONCILER_EXPLORE"))
STRIDE = 1 if IS_EXPLORING else 24
STRUCK = [KILL, *FAULTS] if IS_EXPLORING else [KILL, "reset after"]
OTHER = """
  other:
    image: i
    tasks:
      first: {command: [exit, '0'], count: 2}
"""
BEFORE = app_text("""
    tasks:
      kept: {command: [exit, '0'], count: 2, timeout: 10m}
      changed: {command: [exit, '1'], count: 2, timeout: 10m}
      moved: {command: [exit, '2'], config: {mounts: [{volume: vol_1, path: /data}]}}
      gone: {command: [exit, '3'], count: 2}
      fewer: {command: [exit, '6'], count: 2}
    services:
      web: {command: [run, '100000000'], count: 2, rollout: {min_healthy: 0s}}
""")
AFTER = (
    app_text("""
    tasks:
      kept: {command: [exit, '0'], count: 2, timeout: 20m, protect: true}
      changed: {command: [exit, '4'], count: 2, timeout: 20m, metadata: {team: web}}
      moved: {command: [exit, '2'], config: {mounts: [{volume: vol_2, path: /data}]}}
      added: {command: [exit, '5'], count: {iad: 1, ams: 1}}
      fewer: {command: [exit, '6'], count: 1}
    services:
      web: {command: [run, '100000000'], count: 2, env: {NEW: '1'}, rollout: {min_healthy: 0s}}
""")
    + OTHER
)
DONE = {Action.CREATE, Action.UPDATE, Action.REPLACE, Action.DESTROY, Action.SETTINGS}


async def prepare(world: World) -> Spec:
    world.add_volumes("vol_1", "vol_2")
    assert (await world.apply(spec_of(BEFORE), revision=numbered(1))).is_success
    await world.context.clock.sleep(60)
    world.transport.before = lambda _request: world.assert_unique_names()
    return spec_of(AFTER)


@pytest.mark.parametrize("fault", STRUCK)
@pytest.mark.parametrize("way", WAYS)
async def test_an_approved_plan_that_is_cut_off_anywhere_is_resumed_to_its_end(
    world: World, way: str, fault: str
) -> None:
    spec = await prepare(world)
    plan = await world.plan(spec, allow_destroy=ALLOWED)
    assert {change.action for change in plan.effective} == DONE
    assert plan.apps
    consent = WAYS[way](plan, spec)
    with Copies(stride=STRIDE, first=sum(map(ord, way + fault)) % STRIDE) as copies:
        if fault == KILL:
            await copies.kill(world, apply_approved(world, spec, consent, revision=numbered(2)))
        else:
            with suppress(ReconcilerError), copies.strike(world, fault):
                await apply_approved(world, spec, consent, revision=numbered(2))
        world.transport.relent()
        await world.context.clock.sleep(400)
        report = await apply_approved(world, spec, consent, revision=numbered(2))
        assert report.is_success, (report.entries, report.mismatches, report.failures)
        assert not (await world.plan(spec)).has_changes
        again = await apply_approved(world, spec, consent, revision=numbered(2))
        assert again.is_nothing_left
        assert len(world.machines()) == 10
        assert len(world.machines("other")) == 2
    assert copies.made >= 20 / STRIDE


@pytest.mark.parametrize("way", WAYS if IS_EXPLORING else ["set"])
async def test_two_applies_of_one_approval_both_end_with_all_of_it_done(world: World, way: str) -> None:
    spec = await prepare(world)
    consent = WAYS[way](await world.plan(spec, allow_destroy=ALLOWED), spec)
    others: list[asyncio.Task[Report]] = []

    def begin(_ahead: int) -> None:
        others.append(asyncio.create_task(apply_approved(world, spec, consent, revision=numbered(2))))

    with Copies(stride=STRIDE) as copies:
        with copies.at_each_request(world, begin):
            first = await apply_approved(world, spec, consent, revision=numbered(2))
        for report in (first, *await asyncio.gather(*others)):
            assert report.is_success, (report.entries, report.mismatches, report.failures)
            assert not (await world.plan(spec)).has_changes
        assert len(others) == copies.is_copy
    assert copies.made >= 20 / STRIDE


GOING = app_text("""
    tasks:
      gone: {command: [exit, '1'], count: 3}
      moved: {command: [exit, '2'], config: {mounts: [{volume: vol_1, path: /data}]}}
""")
NONE_STAYS = app_text("""
    tasks:
      moved: {command: [exit, '2'], config: {mounts: [{volume: vol_2, path: /data}]}}
""")


async def test_where_no_machine_is_left_standing_the_one_that_goes_last_holds_what_was_done(world: World) -> None:
    world.add_volumes("vol_1", "vol_2")
    assert (await world.apply(spec_of(GOING), revision=numbered(1))).is_success
    await world.context.clock.sleep(60)
    spec = spec_of(NONE_STAYS)
    consent = WAYS["hash"](await world.plan(spec, allow_destroy=ALLOWED), spec)
    with Copies(stride=1 if IS_EXPLORING else 4) as copies:
        await copies.kill(world, apply_approved(world, spec, consent, revision=numbered(2)))
        await world.context.clock.sleep(400)
        assert [one.name for one in world.machines()], "the fence is held by a machine at any moment"
        report = await apply_approved(world, spec, consent, revision=numbered(2))
        assert report.is_success, (report.entries, report.mismatches, report.failures)
        assert [one.name for one in world.machines()] == ["moved-iad-0"]
        with pytest.raises(BlockedError, match="revision 2 was applied already"):
            await world.apply(spec_of(GOING), revision=numbered(1))
    assert copies.made >= 6


BUSY, BUSY_AFTER = (
    app_text(f"""
    tasks:
      busy: {{command: [run, '1000'], config: {{mounts: [{{volume: {volume}, path: /data}}]}}}}
{others}""")
    for volume, others in (("vol_1", "      gone: {command: [exit, '0'], count: 2}\n"), ("vol_2", ""))
)


async def test_what_is_noted_on_a_machine_that_goes_later_is_noted_again(world: World) -> None:
    world.add_volumes("vol_1", "vol_2")
    assert (await world.apply(spec_of(BUSY), revision=numbered(1))).is_success
    await world.context.clock.sleep(60)
    busy = world.machines()[0]
    await world.engine.start_machine("app", busy.id, None)
    await world.context.clock.sleep(1)
    spec = spec_of(BUSY_AFTER)
    consent = WAYS["hash"](await world.plan(spec, allow_destroy=ALLOWED), spec)
    with dying(world.transport, lambda _request: len(world.machines()) < 3):
        await apply_approved(world, spec, consent, revision=numbered(2), parallelism=1)
    assert [one.name for one in world.machines()] == ["busy-iad-0", "gone-iad-0"]
    await world.context.clock.sleep(2000)
    with Copies(stride=1 if IS_EXPLORING else 3) as copies:
        await copies.kill(world, apply_approved(world, spec, consent, revision=numbered(2)))
        await world.context.clock.sleep(400)
        report = await apply_approved(world, spec, consent, revision=numbered(2))
        assert report.is_success, (report.entries, report.mismatches, report.failures)
        assert [one.name for one in world.machines()] == ["busy-iad-0"]
        assert not (await world.plan(spec)).has_changes
    assert copies.made >= 6


@pytest.mark.parametrize("way", WAYS)
async def test_a_stack_of_one_machine_is_cut_off_between_its_destroy_and_its_create(world: World, way: str) -> None:
    world.add_volumes("vol_1", "vol_2")
    one, other = (spec_of(NONE_STAYS.replace("vol_2", volume)) for volume in ("vol_1", "vol_2"))
    assert (await world.apply(one, revision=numbered(1))).is_success
    await world.context.clock.sleep(60)
    consent = WAYS[way](await world.plan(other, allow_destroy=ALLOWED), other)
    with dying(world.transport, lambda _request: not world.machines()):
        await apply_approved(world, other, consent, revision=numbered(2))
    assert not world.machines()
    await world.context.clock.sleep(400)
    if way == "hash":
        with pytest.raises(StalePlanError, match="pass the plan's file or the set of its changes, or plan again"):
            await apply_approved(world, other, consent, revision=numbered(2))
        return
    assert (await apply_approved(world, other, consent, revision=numbered(2))).is_success
    assert not (await world.plan(other)).has_changes


APPS = """
version: 1
name: stack
apps:
  app: {image: i, tasks: {work: {command: [exit, '0']}}}
  there: {image: i, tasks: {work: {command: [exit, '0']}}}
  other: {image: i, tasks: {work: {command: [exit, '0']}}}
"""


async def test_a_plan_that_created_some_of_its_apps_is_resumed_by_its_hash(world: World) -> None:
    await world.context.client.apps.create("there", org="personal")
    spec = spec_of(APPS)
    consent = WAYS["hash"](await world.plan(spec), spec)
    with Copies(stride=1 if IS_EXPLORING else 3) as copies:
        await copies.kill(world, apply_approved(world, spec, consent, revision=numbered(2)))
        await world.context.clock.sleep(400)
        assert (await apply_approved(world, spec, consent, revision=numbered(2))).is_success
        assert not (await world.plan(spec)).has_changes
    assert copies.made >= 4


async def test_plans_that_were_approved_side_by_side_are_resumed_as_one(world: World) -> None:
    before, changed, both = (
        task_spec(f"[exit, '{code}']", extra=extra)
        for code, extra in ((0, ""), (1, ""), (1, "      added:\n        command: [exit, '2']\n"))
    )
    added = task_spec("[exit, '0']", extra="      added:\n        command: [exit, '2']\n")
    assert (await world.apply(before, revision=numbered(1))).is_success
    await world.context.clock.sleep(60)
    sets = [WAYS["set"](await world.plan(spec), spec) for spec in (changed, added)]
    for alone in sets:
        with pytest.raises(StalePlanError, match="not approved"):
            await apply_approved(world, both, alone, revision=numbered(2))
    union = Consent(approvals=sum((one.approvals for one in sets), ()))
    with Copies(stride=1 if IS_EXPLORING else 3) as copies:
        await copies.kill(world, apply_approved(world, both, union, revision=numbered(2)))
        await world.context.clock.sleep(400)
        assert (await apply_approved(world, both, union, revision=numbered(2))).is_success
        assert (await apply_approved(world, both, union, revision=numbered(2))).is_nothing_left
    assert copies.made >= 4


@pytest.mark.parametrize("way", WAYS)
async def test_what_the_platform_took_back_is_done_by_the_same_approval(world: World, way: str) -> None:
    before, after = (task_spec(f"[exit, '{code}']") for code in (0, 1))
    assert (await world.apply(before, revision=numbered(1))).is_success
    consent = WAYS[way](await world.plan(after), after)
    world.engine.faults.add("revert_update", after=1)
    failed = await apply_approved(world, after, consent, revision=numbered(2))
    assert "reverted" in next(one.detail for one in failed.entries if one.status is Status.FAILED)
    await world.context.clock.sleep(60)
    assert (await apply_approved(world, after, consent, revision=numbered(2))).is_success
    assert not (await world.plan(after)).has_changes


async def test_a_hand_that_puts_an_update_of_the_plan_back_is_not_the_platform(world: World) -> None:
    before, after = (task_spec(f"[exit, '{code}']", count="1") for code in (0, 1))
    assert (await world.apply(before, revision=numbered(1))).is_success
    [first] = world.machines()
    consent = WAYS["file"](await world.plan(after), after)
    assert (await apply_approved(world, after, consent, revision=numbered(2))).is_success
    await world.context.clock.sleep(60)
    await world.engine.update("app", first.id, {"config": first.config, "skip_launch": True}, None)
    await world.context.clock.sleep(60)
    with pytest.raises(StalePlanError, match="changed back"):
        await apply_approved(world, after, consent, revision=numbered(2))


async def test_the_revision_is_noted_before_the_first_destroy(world: World) -> None:
    before, after = (task_spec(count=count) for count in ("3", "1"))
    assert (await world.apply(before, revision=numbered(1))).is_success
    await world.context.clock.sleep(60)
    with Copies() as copies:
        await copies.kill(world, world.apply(after, revision=numbered(2)))
        await world.context.clock.sleep(400)
        if len(world.machines()) < 3:
            with pytest.raises(BlockedError, match="revision 2 was applied already"):
                await world.apply(before, revision=numbered(1))
    assert copies.made >= 10
