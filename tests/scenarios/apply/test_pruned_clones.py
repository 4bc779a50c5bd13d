"""`--prune-clones`: machines that were cloned by hand are destroyed, once they rest, and no machine of the stack is."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.engine.models import Machine
from reconciler.errors import BlockedError, StalePlanError
from reconciler.invoke.runs import list_runs
from reconciler.model import marks
from reconciler.model.change import Action, ReasonCode
from reconciler.model.plan import Plan
from reconciler.model.report import Report, Status
from reconciler.model.revision import numbered
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import Spec
from reconciler.operations.consent import Consent
from reconciler.operations.saved_plans import bind
from reconciler.render.json import json_text
from reconciler.render.report_markdown import report_markdown
from reconciler.render.saved import parse_saved, saved_json
from tests.support.approvals import WAYS, apply_approved
from tests.support.copies import Copies
from tests.support.world import TARGET, World, app_spec, task_spec

WORK = task_spec("[exit, '0']")
WEB = app_spec("    services:\n      web: {command: [run, '99999'], rollout: {min_healthy: 0s}}\n")


async def applied(world: World, spec: Spec, **options: Any) -> None:
    """The spec is applied, and no longer new to the platform."""
    assert (await world.apply(spec, **options)).is_success
    await world.context.clock.sleep(120)


def clone(
    world: World, name: str, *, of: str = "work-iad-0", region: str = "iad", runs: bool = False, **config: Any
) -> Machine:
    """A clone of one of the stack's machines, as `flyctl machine clone` makes it."""
    [original] = [machine for machine in world.machines() if machine.name == of]
    body = {"name": name, "region": region, "skip_launch": not runs, "config": dict(original.config) | config}
    return world.engine.create("app", body)


def names(world: World) -> list[str]:
    return [machine.name for machine in world.machines()]


def at_lease(world: World, machine: Machine, do: Callable[[Machine], object]) -> None:
    """Do this once, right before the lease on the machine is asked for."""
    is_done = False

    def before(request: Any) -> None:
        nonlocal is_done
        if not is_done and request.method == "POST" and request.url.path.endswith(f"{machine.id}/lease"):
            is_done = True
            do(world.engine.machine("app", machine.id))

    world.transport.before = before


async def test_clones_at_rest_are_destroyed_only_if_that_is_asked_for(world: World) -> None:
    await applied(world, WORK)
    own = {machine.id: machine.instance_id for machine in world.machines()}
    clones = {clone(world, "one").id, clone(world, "two", of="work-iad-1").id}
    world.engine.create("app", {"name": "theirs", "skip_launch": True, "config": {"image": "x"}})
    assert not (await world.plan(WORK)).has_changes
    plan = await world.plan(WORK, prune_clones=True)
    assert {(change.action, change.code) for change in plan.effective} == {(Action.DESTROY, ReasonCode.CLONE)}
    assert {change.machine_id for change in plan.effective} == clones
    assert len({change.address for change in plan.effective}) == 2
    assert [machine.name for machine in plan.foreign] == ["theirs"]
    report = await world.apply(WORK, prune_clones=True)
    assert report.is_success
    assert {entry.machine_id for entry in report.entries if entry.action is Action.DESTROY} == clones
    assert "**Destroyed:** `app/work-iad-0 (clone " in report_markdown(report, "apply")
    assert own.items() <= {machine.id: machine.instance_id for machine in world.machines()}.items()
    assert names(world) == ["theirs", "work-iad-0", "work-iad-1"]
    assert not (await world.plan(WORK, prune_clones=True)).has_changes


async def test_clones_count_for_the_deletion_limit(world: World) -> None:
    await applied(world, WORK)
    for number in range(4):
        clone(world, f"copy-{number}")
    plan = await world.plan(WORK, prune_clones=True)
    assert plan.blocked == ("destroys 4 of 6: needs --allow-destroy 4",)
    with pytest.raises(BlockedError):
        await world.apply(WORK, prune_clones=True, allow_destroy=3)
    assert len(world.machines()) == 6
    assert (await world.apply(WORK, prune_clones=True, allow_destroy=4)).is_success
    assert len(world.machines()) == 2


@pytest.mark.parametrize("spec", [task_spec("[run, '30']"), WEB], ids=["task", "service"])
async def test_a_clone_that_runs_is_left_alone_and_listed(world: World, spec: Spec) -> None:
    await applied(world, spec)
    busy = clone(world, "busy", of=world.machines()[0].name, runs=True)
    await world.context.clock.sleep(2)
    report = await world.apply(spec, prune_clones=True)
    assert report.is_success
    assert [entry.status for entry in report.entries if entry.machine_id == busy.id] == [Status.DEFERRED]
    assert world.engine.machine("app", busy.id).state == "started"


@pytest.mark.parametrize("spec", [task_spec("[run, '30']"), WEB], ids=["task", "service"])
async def test_a_clone_that_was_started_since_the_plan_is_left_alone(world: World, spec: Spec) -> None:
    await applied(world, spec)
    busy = clone(world, "busy", of=world.machines()[0].name)
    at_lease(world, busy, lambda one: world.engine.store.save(replace(one, state="started")))
    report = await world.apply(spec, prune_clones=True)
    [ended] = [entry for entry in report.entries if entry.machine_id == busy.id]
    assert ended.status is Status.DEFERRED, ended
    assert world.engine.machine("app", busy.id).state == "started"


async def test_a_clone_that_runs_is_waited_for_if_that_is_asked_for(world: World) -> None:
    spec = task_spec("[run, '30']")
    await applied(world, spec)
    busy = clone(world, "busy", of=world.machines()[0].name, runs=True)
    await world.context.clock.sleep(2)
    report = await world.apply(spec, prune_clones=True, wait_busy_s=600.0)
    assert report.is_success
    assert [entry.status for entry in report.entries if entry.machine_id == busy.id] == [Status.DONE]
    assert names(world) == ["work-iad-0", "work-iad-1"]


def renamed(machine: Machine) -> Machine:
    return replace(machine, name="work-iad-0")


def adopted(machine: Machine) -> Machine:
    metadata = machine.config["metadata"] | {marks.SLOT: machine.name}
    return replace(machine, config=machine.config | {"metadata": metadata})


def released(machine: Machine) -> Machine:
    return replace(machine, config=machine.config | {"metadata": {}})


def taken(machine: Machine) -> Machine:
    metadata = machine.config["metadata"] | {marks.STACK: "theirs"}
    return replace(machine, config=machine.config | {"metadata": metadata})


def called_otherwise(machine: Machine) -> Machine:
    return replace(machine, name="other")


def changed(machine: Machine) -> Machine:
    return replace(machine, config=machine.config | {"env": {"NEW": "1"}})


@pytest.mark.parametrize("becomes", [renamed, adopted, released, taken, called_otherwise, changed])
async def test_a_clone_that_is_another_machine_by_then_is_left_alone(
    world: World, becomes: Callable[[Machine], Machine]
) -> None:
    await applied(world, WORK)
    one = clone(world, "one")
    at_lease(world, one, lambda machine: world.engine.store.save(becomes(machine)))
    report = await world.apply(WORK, prune_clones=True)
    [ended] = [entry for entry in report.entries if entry.machine_id == one.id]
    assert ended.status is Status.FAILED
    is_clone = becomes in {called_otherwise, changed}
    assert ended.detail == (
        "changed since it was planned; plan again" if is_clone else "no longer a clone of work-iad-0; left alone"
    )
    assert len(world.machines()) == 3


async def test_a_busy_clone_that_is_released_meanwhile_is_not_told_as_destroyed(world: World) -> None:
    spec = task_spec("[run, '30']")
    await applied(world, spec)
    busy = clone(world, "busy", of=world.machines()[0].name, runs=True)
    await world.context.clock.sleep(2)

    async def release() -> None:
        await world.context.clock.sleep(10)
        world.engine.store.save(released(world.engine.machine("app", busy.id)))

    releasing = asyncio.create_task(release())
    report = await world.apply(spec, prune_clones=True, wait_busy_s=600.0)
    await releasing
    [ended] = [entry for entry in report.entries if entry.machine_id == busy.id]
    assert ended.status is Status.FAILED
    assert ended.detail.startswith("no longer the machine that was to be destroyed")
    assert "busy" in names(world)


async def test_the_slot_whose_name_a_clone_holds_is_made_after_it(world: World) -> None:
    await applied(world, WORK)
    world.transport.before = lambda _request: world.assert_unique_names()
    holder = clone(world, "work-iad-2")
    more = task_spec("[exit, '0']", count="3")
    [blocked] = (await world.plan(more)).blocked
    assert "--prune-clones" in blocked
    assert (await world.apply(more, prune_clones=True)).is_success
    assert names(world) == ["work-iad-0", "work-iad-1", "work-iad-2"]
    assert world.machines()[2].id != holder.id
    assert world.machines()[2].config["metadata"][marks.SLOT] == "work-iad-2"


async def test_a_new_anchor_takes_nothing_over_from_a_clone_that_had_its_name(world: World) -> None:
    await applied(world, WORK)
    [anchor, second] = world.machines()
    await world.context.client.set_metadata("app", anchor.id, marks.KEY + "x", "own")
    await world.engine.destroy("app", anchor.id, None, force=True)
    copied = dict(second.config["metadata"]) | {marks.KEY + "y": "copied"}
    await world.context.clock.sleep(5)
    clone(world, "work-iad-0", of="work-iad-1", metadata=copied)
    assert (await world.apply(WORK, prune_clones=True)).is_success
    metadata = world.machines()[0].config["metadata"]
    assert metadata[marks.KEY + "x"] == "own"
    assert marks.KEY + "y" not in metadata


async def test_the_runs_that_a_clone_carries_are_counted_once(world: World) -> None:
    await applied(world, WORK)
    run = await world.invoke(WORK)
    assert run.slot
    clone(world, "one", of=run.slot.name)
    before = [(found.info.id, found.info.state) for found in await list_runs(world.context, "app", stack="stack")]
    assert len(before) == 1
    assert (await world.apply(WORK, prune_clones=True)).is_success
    assert [
        (found.info.id, found.info.state) for found in await list_runs(world.context, "app", stack="stack")
    ] == before
    assert not any(key.startswith(marks.ENDS) for one in world.machines() for key in one.config["metadata"])


async def test_the_volume_of_a_clone_stays(world: World) -> None:
    world.add_volumes("vol_1")
    await applied(world, WORK)
    clone(world, "one", mounts=[{"volume": "vol_1", "path": "/data"}])
    [change] = (await world.plan(WORK, prune_clones=True)).effective
    assert change.reason.endswith("; volume vol_1 is left, without a machine")
    assert (await world.apply(WORK, prune_clones=True)).is_success
    assert world.engine.store.volumes.get("vol_1")
    assert names(world) == ["work-iad-0", "work-iad-1"]


async def test_of_the_selection_only(world: World) -> None:
    both = task_spec("[exit, '0']", extra="      other: {command: [exit, '0']}\n")
    await applied(world, both)
    clone(world, "of-other", of="other-iad-0")
    clone(world, "of-work", region="ams")
    for selection, name in (
        (Selection(only=("work",)), "of-work"),
        (Selection(exclude=("work",)), "of-other"),
        (Selection(regions=("iad",)), "of-other"),
    ):
        plan = await world.plan(both, prune_clones=True, selection=selection)
        assert [change.clone for change in plan.effective] == [name], selection
    assert (await world.apply(both, prune_clones=True, selection=Selection(only=("work",)))).is_success
    assert names(world) == ["of-other", "other-iad-0", "work-iad-0", "work-iad-1"]


async def test_a_revision_that_the_stack_has_left_does_not_keep_a_clone(world: World) -> None:
    await applied(world, WORK, revision=numbered(2))
    clone(world, "one")
    older = task_spec("[exit, '1']")
    assert (await world.apply(older, revision=numbered(1), allow_rollback=True)).is_success
    assert (await world.apply(older, revision=numbered(1), prune_clones=True)).is_success
    assert names(world) == ["work-iad-0", "work-iad-1"]


def consent_to(way: str, plan: Plan, spec: Spec) -> Consent:
    if way != "file":
        return replace(WAYS[way](plan, spec), prune_clones=True)
    how: dict[str, Any] = {"selection": WHOLE, "app": None, "allow_destroy": 9, "images": {}}
    saved = bind(plan, spec, TARGET, adopt=False, prune_clones=True, **how)
    return Consent(saved=parse_saved(json_text(saved_json(saved, salt="s")), name="plan.json"))


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_but_the_approved_clone_goes(world: World, way: str) -> None:
    await applied(world, WORK, revision=numbered(1))
    clone(world, "one")
    consent = consent_to(way, await world.plan(WORK, prune_clones=True), WORK)
    clone(world, "two")
    with pytest.raises(StalePlanError):
        await apply_approved(world, WORK, consent, revision=numbered(2))
    assert len(world.machines()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
async def test_an_approved_plan_that_is_killed_at_any_request_is_resumed(world: World, way: str) -> None:
    more = task_spec("[exit, '0']", count="3")
    await applied(world, WORK, revision=numbered(1))
    clone(world, "one")
    clone(world, "work-iad-2")
    plan = await world.plan(more, prune_clones=True)
    assert {change.action for change in plan.effective} == {Action.CREATE, Action.DESTROY}
    consent = consent_to(way, plan, more)
    with Copies(stride=3, first=len(way) % 3) as copies:
        await copies.kill(world, apply_approved(world, more, consent, revision=numbered(2)))
        await world.context.clock.sleep(400)
        report = await apply_approved(world, more, consent, revision=numbered(2))
        assert report.is_success, (report.entries, report.mismatches, report.failures)
        assert names(world) == ["work-iad-0", "work-iad-1", "work-iad-2"]
        assert not (await world.plan(more, prune_clones=True)).has_changes
    assert copies.made >= 5


@pytest.mark.slow
async def test_two_applies_at_once_both_end_well(world: World) -> None:
    more = task_spec("[exit, '0']", count="3")
    await applied(world, WORK)
    clone(world, "one")
    clone(world, "work-iad-2")
    others: list[asyncio.Task[Report]] = []

    def begin(_ahead: int) -> None:
        others.append(asyncio.create_task(world.apply(more, prune_clones=True)))

    with Copies(stride=3) as copies:
        with copies.at_each_request(world, begin):
            first = await world.apply(more, prune_clones=True)
        for report in (first, *await asyncio.gather(*others)):
            assert report.is_success, [(e.address, e.status.value, e.detail, e.reason) for e in report.entries] + [
                report.mismatches,
                report.failures,
            ]
        assert names(world) == ["work-iad-0", "work-iad-1", "work-iad-2"]
        assert len(others) == copies.is_copy
    assert copies.made >= 5
