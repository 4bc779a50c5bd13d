"""`slots`: machines that exist already are slots of a pool, under their own names."""

from typing import Any

import pytest

from reconciler.invoke.attach import cancel_run
from reconciler.invoke.invoke import InvokeOptions, invoke
from reconciler.invoke.runs import find_run
from reconciler.model import marks
from reconciler.model.change import Action
from reconciler.model.report import Report, Status
from reconciler.model.spec import Spec
from reconciler.operations.named_runs import find_run_or_newest
from reconciler.operations.release import propose_release
from reconciler.operations.status import status
from reconciler.planner.drift import with_drift
from reconciler.planner.hashes import spec_sha256
from tests.support.approvals import WAYS, apply_approved
from tests.support.world import World, task_spec

FROG, FIRE = "weathered-frog-7982", "blue-fire-1"


def named(*names: str, count: int = 2, command: str = "[run, '30']", more: str = "") -> Spec:
    return task_spec(command, count=str(count), extra=f"        slots: {{iad: [{', '.join(names)}]}}\n{more}")


async def made_by_others(world: World, *names: str) -> None:
    if "app" not in world.engine.store.apps:
        world.engine.create_app("app", "personal")
    config = dict(named(FROG).pools[0].config.document)
    for name in names:
        world.engine.create("app", {"name": name, "config": config, "skip_launch": True})
    await world.context.clock.sleep(10)


def ends(report: Report) -> dict[str, tuple[Action, Status]]:
    return {one.slot.name: (one.action, one.status) for one in report.entries}


def names_of(world: World) -> list[str]:
    return [one.name for one in world.machines()]


def mark(world: World, name: str, key: str) -> str | None:
    found: dict[str, Any] = next(one for one in world.machines() if one.name == name).config["metadata"]
    return found.get(key)


async def test_a_named_machine_is_a_slot_for_everything_that_follows(world: World) -> None:
    await made_by_others(world, FROG)
    spec = named(FROG)
    assert ends(await world.apply(spec, adopt=True)) == {
        FROG: (Action.ADOPT, Status.DONE),
        "work-iad-1": (Action.CREATE, Status.DONE),
    }
    assert (mark(world, FROG, marks.SLOT), mark(world, FROG, marks.ANCHOR)) == (FROG, FROG)
    assert mark(world, FROG, marks.COUNTS) == "iad=2"
    assert not (await world.plan(spec)).has_changes
    runs = [await world.invoke(spec, is_waiting=False) for _ in range(2)]
    assert {run.slot.name for run in runs if run.slot} == {FROG, "work-iad-1"}
    [run] = [one for one in runs if one.slot and one.slot.name == FROG]
    assert str(run.id).startswith(f"{FROG}/")
    found = await find_run(world.context, "app", str(run.id), stack="stack")
    assert found
    assert (await find_run_or_newest(world.context, spec, str(run.id))).info.task == "work"
    assert await cancel_run(world.context, found)
    changed = named(FROG, command="[run, '31']")
    assert (await world.apply(changed, wait_busy_s=120)).is_success
    assert not (await world.plan(changed)).has_changes
    shown = await status(world.session, changed)
    assert {row.slot: row.note for row in shown.slots} == {FROG: "", "work-iad-1": ""}
    assert (await world.destroy(changed)).is_success
    assert names_of(world) == []


async def test_a_name_taken_out_is_a_slot_taken_out_and_its_runs_are_kept(world: World) -> None:
    await made_by_others(world, FROG, FIRE)
    await world.apply(named(FROG, FIRE), adopt=True)
    run = await world.invoke(named(FROG, FIRE))
    assert run.outcome
    assert (await world.apply(named(FIRE, count=1))).is_success
    assert names_of(world) == [FIRE]
    assert mark(world, FIRE, marks.ANCHOR) == FIRE
    found = await find_run(world.context, "app", str(run.id), stack="stack")
    assert found
    assert found.info.outcome
    assert found.info.outcome.exit_code == run.outcome.exit_code


async def test_names_take_the_place_of_slots_and_give_it_back(world: World) -> None:
    await world.apply(task_spec("[run, '30']", count="2"))
    await made_by_others(world, FROG)
    assert (await world.apply(named(FROG), adopt=True)).is_success
    assert names_of(world) == [FROG, "work-iad-1"]
    back = task_spec("[run, '30']", count="2")
    assert (await world.apply(back)).is_success
    assert names_of(world) == ["work-iad-0", "work-iad-1"]
    assert not (await world.plan(back)).has_changes


async def test_one_that_was_destroyed_or_mounts_another_volume_is_made_again_under_its_name(world: World) -> None:
    await made_by_others(world, FROG)
    spec = named(FROG, count=1)
    await world.apply(spec, adopt=True)
    first = world.machines()[0]
    await world.engine.destroy("app", first.id, force=True, nonce=None)
    await world.context.clock.sleep(30)
    assert ends(await world.apply(spec)) == {FROG: (Action.CREATE, Status.DONE)}
    world.add_volumes("vol_1")
    mounted = named(FROG, count=1, more="        config: {mounts: [{volume: vol_1, path: /data}]}")
    assert ends(await world.apply(mounted)) == {FROG: (Action.REPLACE, Status.DONE)}
    assert names_of(world) == [FROG]
    assert not (await world.plan(mounted)).has_changes


async def test_a_name_that_is_new_in_the_list_is_not_called_lost(world: World) -> None:
    await world.apply(task_spec("[run, '30']", count="2"))
    plan = await world.plan(named(FROG, count=2))
    [made] = [change for change in plan.effective if change.action is Action.CREATE]
    assert (made.slot.name, made.lost) == (FROG, None)
    assert not [change for change in with_drift(plan).changes if change.action is Action.CREATE]


@pytest.mark.parametrize("way", WAYS)
async def test_a_reviewed_plan_of_named_slots_is_applied_once(world: World, way: str) -> None:
    await made_by_others(world, FROG, FIRE)
    await world.apply(named(FROG, FIRE), adopt=True)
    spec = named(FIRE, count=2, command="[run, '31']")
    plan = await world.plan(spec, allow_destroy=1000)
    consent = WAYS[way](plan, spec)
    assert (await apply_approved(world, spec, consent)).is_success
    assert names_of(world) == [FIRE, "work-iad-1"]
    assert (await apply_approved(world, spec, consent)).is_nothing_left


async def test_a_region_is_of_the_machine_and_a_release_takes_off_the_marks(world: World) -> None:
    await made_by_others(world, FROG)
    spec = named(FROG, count=1)
    await world.apply(spec, adopt=True)
    gone = task_spec("[run, '30']", count="0")
    [change] = (await world.plan(gone)).effective
    assert (change.slot.name, change.slot.region, change.reason) == (
        FROG,
        "iad",
        "no slot of its pool has its name any more",
    )
    proposal = await propose_release(world.session, spec)
    assert [one.slot.name for one in proposal.plan.effective] == [FROG]


async def test_while_the_named_anchor_cannot_be_observed_no_other_one_is_named(world: World) -> None:
    await made_by_others(world, FROG)
    await world.apply(named(FROG), adopt=True)
    world.engine.faults.add(fault="host_unreachable", machine=FROG)
    await world.apply(named(FROG))
    anchors = [one.name for one in world.machines() if mark(world, one.name, marks.ANCHOR) == one.name]
    assert anchors == [FROG]


def test_a_spec_without_names_has_the_hash_that_it_always_had() -> None:
    plain, natural = task_spec(count="2"), task_spec(count="2", extra="        slots: {iad: [work-iad-0]}\n")
    assert spec_sha256(plain) == spec_sha256(natural) != spec_sha256(named(FROG, command="[exit, '0']"))
    assert plain.pools[0].slots == natural.pools[0].slots


@pytest.mark.parametrize(("stays", "moves"), [(FROG, FIRE), (FIRE, FROG)])
async def test_a_name_that_moves_to_another_pool_takes_its_machine_there(world: World, stays: str, moves: str) -> None:
    both = named(FROG, FIRE, more="      other: {command: [run, '30']}\n")
    await world.apply(both)
    spec = named(stays, count=1, more=f"      other: {{command: [run, '30'], slots: {{iad: [{moves}]}}}}\n")
    assert ends(await world.apply(spec)) == {
        moves: (Action.UPDATE, Status.DONE),
        "other-iad-0": (Action.DESTROY, Status.DONE),
    }
    assert not (await world.plan(spec)).has_changes
    places = {name: (mark(world, name, marks.POOL), mark(world, name, marks.ANCHOR)) for name in names_of(world)}
    assert places == {stays: ("work", stays), moves: ("other", moves)}
    for pool in spec.tasks:
        run = await invoke(world.context, pool, stack=spec.stack, options=InvokeOptions(is_waiting=False))
        assert run.slot
        assert run.slot.name == (stays if pool.name == "work" else moves)
