"""What someone else changed is told from what the spec changed, and can be put back alone."""

import httpx
import pytest
from msgspec.structs import replace

from reconciler.apply.apply import apply
from reconciler.apply.options import Options
from reconciler.machines_api.observe import observe_destroyed
from reconciler.model import marks
from reconciler.model.change import Action, Cause, ReasonCode
from reconciler.model.plan import Plan
from reconciler.model.revision import numbered
from reconciler.model.spec import Spec
from reconciler.operations.plan import observe_as_applied
from reconciler.planner.drift import apps_to_look_at, only_drift, with_drift, with_lost
from reconciler.planner.hashes import plan_sha256
from reconciler.planner.planner import plan as make_plan
from reconciler.render.closing import closing_line
from tests.support.faults import DeadError
from tests.support.world import World, open_world, spec_of, task_spec

BASE = "        env: {A: '1', B: '1'}\n        guest: shared-cpu-1x\n"
APPLIED = task_spec(count="2", extra=BASE)
WANTED = task_spec(count="3", extra=BASE.replace("cpu-1x", "cpu-2x"))


async def meddle(world: World, name: str, **env: str) -> None:
    """Someone else sets variables on a machine, as with another tool."""
    machine = next(one for one in world.machines() if one.name == name)
    config = machine.config | {"env": machine.config["env"] | env}
    await world.engine.update("app", machine.id, {"config": config, "skip_launch": True}, None)
    await world.context.clock.sleep(10)


async def drift(world: World, spec: Spec) -> Plan:
    return with_drift(await looked_at(world, spec))


async def looked_at(world: World, spec: Spec) -> Plan:
    """The plan that knows of destroyed machines, as `drift` and `apply --only-drift` make it."""
    pinned = await observe_as_applied(world.session, spec)
    found = make_plan(pinned.spec, pinned.observed, allow_destroy=100)
    return with_lost(found, await observe_destroyed(world.context.client, apps_to_look_at(found)))


async def destroy(world: World, *names: str) -> None:
    """Someone else destroys machines."""
    for machine in world.machines():
        if machine.name in names:
            await world.engine.destroy("app", machine.id, None, force=True)
    await world.context.clock.sleep(10)


def forget_destroyed(world: World) -> None:
    """The platform tells of destroyed machines for two days: after that, nothing with our marks."""
    for machine in world.engine.store.machines("app"):
        if machine.is_destroyed:
            world.engine.store.save(replace(machine, config={}))


def forget_counts(world: World) -> None:
    """The machines are as an earlier version left them."""
    for machine in world.machines():
        world.engine.set_metadata("app", machine.id, {marks.COUNTS: ""})


def told(plan: Plan) -> list[tuple[str, str]]:
    return [(change.slot.name, change.action.value) for change in plan.effective]


async def test_nothing_is_drift_right_after_an_apply_whatever_the_spec_says_now(world: World) -> None:
    await world.apply(APPLIED)
    for spec in (APPLIED, WANTED, task_spec(count="0")):
        assert not (await drift(world, spec)).has_changes


@pytest.mark.parametrize("spec", [APPLIED, WANTED], ids=["the spec as it was", "the spec changed too"])
async def test_it_names_the_fields_who_and_when(world: World, spec: Spec) -> None:
    await world.apply(APPLIED)
    await world.context.clock.sleep(60)
    await meddle(world, "work-iad-1", A="2", C="3")
    [change] = (await drift(world, spec)).effective
    assert change.slot.name == "work-iad-1"
    assert [field.path for field in change.fields] == ["env.A", "env.C"]
    assert {field.cause for field in change.fields} == {Cause.DRIFT}
    assert "changed by someone else: env.A, env.C" in change.reason
    if spec is APPLIED:
        assert "the last update was by user, 2026-01-01 00:01 UTC" in change.reason


async def test_it_says_how_many_slots_the_spec_changes_beside_what_it_shows(world: World) -> None:
    assert closing_line(await drift(world, APPLIED)) == (
        "No drift. 0 machines are as declared; 2 slots differ from the spec: `reconciler plan` shows how."
    )
    await world.apply(APPLIED)
    assert closing_line(await drift(world, APPLIED)) == "No changes. 2 machines are as declared."
    assert closing_line(await drift(world, WANTED)) == (
        "No drift. 0 machines are as declared; 3 slots differ from the spec: `reconciler plan` shows how."
    )
    assert closing_line(await drift(world, task_spec(count="1", extra=BASE))) == (
        "No drift. 1 machine is as declared; 1 slot differs from the spec: `reconciler plan` shows how."
    )
    await meddle(world, "work-iad-1", A="2")
    assert closing_line(await drift(world, APPLIED)).endswith(" 1 unchanged.")
    wider = task_spec(count="3", extra=BASE)
    assert closing_line(await drift(world, wider)).endswith(
        " 1 unchanged. Beside drift, 1 slot differs from the spec: `reconciler plan` shows how."
    )
    assert closing_line(await drift(world, WANTED)).endswith(
        " 0 to destroy. Beside drift, 3 slots differ from the spec: `reconciler plan` shows how."
    )


async def test_only_drift_puts_back_what_was_meddled_with_and_leaves_the_rest_of_the_spec(world: World) -> None:
    await world.apply(APPLIED)
    await world.context.clock.sleep(60)
    await meddle(world, "work-iad-1", A="2")
    widened = task_spec(count="3", extra=BASE + "        timeout: 90s\n")

    def plan_of(plan: Plan) -> list[tuple[str, str]]:
        return [(change.slot.name, change.action.value) for change in plan.effective]

    whole = await world.plan(widened)
    assert plan_of(whole) == [("work-iad-1", "update"), ("work-iad-2", "create"), ("work-iad-0", "settings")]
    assert plan_of(only_drift(whole)) == [("work-iad-1", "update")]
    report = await apply(world.context, widened, only_drift(whole), Options(only_drift=True))
    assert report.is_success, report
    assert [machine.config["env"] for machine in world.machines()] == [{"A": "1", "B": "1"}] * 2
    assert world.machines()[0].config["metadata"][marks.TERMS] == ";;"
    assert plan_of(await world.plan(widened)) == [("work-iad-2", "create"), ("work-iad-0", "settings")]


async def test_an_app_that_was_not_observed_is_not_without_drift(world: World) -> None:
    await world.apply(APPLIED)
    world.engine.faults.add("empty_list", calls=("list",), times=-1)
    assert (await drift(world, APPLIED)).blocked


@pytest.mark.parametrize("spec", [APPLIED, WANTED], ids=["the spec as it was", "the spec changed too"])
@pytest.mark.parametrize("name", ["work-iad-1", "work-iad-0"], ids=["a slot", "the anchor"])
async def test_a_machine_that_was_destroyed_is_drift_and_one_that_the_spec_adds_is_none(
    world: World, spec: Spec, name: str
) -> None:
    await world.apply(APPLIED)
    await world.context.clock.sleep(60)
    await destroy(world, name)
    before = len(world.transport.requests)
    found = await drift(world, spec)
    assert told(found) == [(name, "create")]
    assert "it was applied, and destroyed since (by user, 2026-01-01 00:01 UTC)" in found.effective[0].reason
    assert len(world.transport.requests) - before == 2
    await world.apply(spec)
    assert told(await drift(world, spec)) == []


@pytest.mark.parametrize("name", ["work-iad-1", "work-iad-0"], ids=["a slot", "the anchor"])
async def test_what_the_platform_has_forgotten_the_anchor_remembers(world: World, name: str) -> None:
    await world.apply(APPLIED)
    await destroy(world, name)
    forget_destroyed(world)
    is_anchor = name == "work-iad-0"
    assert told(await drift(world, WANTED)) == ([] if is_anchor else [(name, "create")])
    assert told(with_drift(await world.plan(WANTED))) == ([] if is_anchor else [(name, "create")])


async def test_without_the_mark_the_destroyed_machines_alone_tell(world: World) -> None:
    await world.apply(APPLIED)
    forget_counts(world)
    assert not (await world.plan(APPLIED)).has_changes
    await destroy(world, "work-iad-1")
    assert told(with_drift(await world.plan(WANTED))) == []
    assert told(await drift(world, WANTED)) == [("work-iad-1", "create")]


async def test_a_slot_that_was_taken_out_of_the_spec_and_comes_back_is_the_specs_change(world: World) -> None:
    await world.apply(WANTED)
    await world.apply(task_spec(count="1", extra=BASE))
    before = len(world.transport.requests)
    assert told(await drift(world, WANTED)) == []
    assert len(world.transport.requests) - before == 1
    await world.apply(WANTED)
    await destroy(world, "work-iad-2")
    assert told(await drift(world, WANTED)) == [("work-iad-2", "create")]
    await world.apply(APPLIED)
    await destroy(world, "work-iad-1")
    found = await drift(world, WANTED)
    assert told(found) == [("work-iad-1", "create")]
    assert found.counts()["none"] == 0  # one that the spec changes is not as declared either


async def test_a_slot_that_could_not_be_made_was_not_applied(world: World) -> None:
    await world.apply(APPLIED)
    world.engine.faults.add("host_capacity", calls=("create",), times=-1)
    assert not (await world.apply(WANTED)).is_success
    assert told(await drift(world, WANTED)) == []
    world.transport.relent()
    await world.apply(task_spec(count="3", extra=BASE))
    assert {machine.name for machine in world.machines()} == {f"work-iad-{number}" for number in range(3)}


async def test_what_an_apply_that_was_killed_did_not_make_was_never_destroyed(world: World) -> None:
    await world.apply(APPLIED, revision=numbered(1))
    spec = task_spec(count="4", extra=BASE.replace("cpu-1x", "cpu-2x"))

    def die(request: httpx.Request) -> None:
        if request.url.path.endswith("/machines") and request.method == "POST":
            raise DeadError

    world.transport.before = die
    with pytest.raises((DeadError, BaseExceptionGroup)):
        await world.apply(spec, revision=numbered(2))
    world.transport.before = lambda _request: None
    reasons = {one.slot.name: (one.reason, one.code) for one in (await world.plan(spec)).effective}
    assert reasons["work-iad-2"] == reasons["work-iad-3"] == ("not there", ReasonCode.MISSING)
    assert told(await drift(world, spec)) == []
    await destroy(world, "work-iad-1")
    assert told(await drift(world, APPLIED)) == [("work-iad-1", "create")]


async def test_what_this_tool_destroyed_is_no_drift(world: World) -> None:
    await world.apply(APPLIED)
    await world.destroy(APPLIED)
    assert told(await drift(world, APPLIED)) == []
    await world.context.clock.sleep(10)
    await world.apply(APPLIED)
    await destroy(world, "work-iad-0", "work-iad-1")
    assert told(await drift(world, APPLIED)) == [("work-iad-0", "create"), ("work-iad-1", "create")]


async def test_a_pool_that_was_taken_out_of_the_spec_and_comes_back_is_the_specs_change(world: World) -> None:
    other = spec_of("version: 1\nname: stack\napps: {app: {image: i, tasks: {other: {command: [x]}}}}")
    await world.apply(APPLIED)
    await world.apply(other)
    assert told(await drift(world, APPLIED)) == []


async def test_a_slot_of_a_service_that_was_taken_out_is_the_specs_change_too(world: World) -> None:
    pool = "{count: N, ports: [80], command: [run, '1000000000']}"
    web = f"version: 1\nname: stack\napps: {{app: {{image: i, services: {{web: {pool}}}}}}}"
    one, two = (spec_of(web.replace("N", count)) for count in "12")
    await world.apply(two)
    await world.apply(one)
    assert told(await drift(world, two)) == []
    await world.context.clock.sleep(10)
    await world.apply(two)
    await destroy(world, "web-iad-1")
    assert told(await drift(world, two)) == [("web-iad-1", "create")]


async def test_that_it_cannot_be_noted_keeps_no_machine(world: World) -> None:
    await world.apply(APPLIED)
    world.engine.faults.add("unauthorized", calls=("metadata",), times=-1)
    assert (await world.destroy(APPLIED)).is_success
    assert world.machines() == []
    assert any("cannot mark it as destroyed by this tool" in line for line in world.said)


async def test_a_machine_that_was_not_destroyed_in_the_end_is_missed_again(world: World) -> None:
    await world.apply(APPLIED)
    world.engine.faults.add("unauthorized", calls=("delete",), times=-1)
    assert not (await world.destroy(APPLIED)).is_success
    world.transport.relent()
    assert {write.name for write in (await world.plan(APPLIED)).bookkeeping if marks.GONE in write.marks} == {
        "work-iad-0",
        "work-iad-1",
    }
    assert (await world.apply(APPLIED)).is_success
    await destroy(world, "work-iad-0", "work-iad-1")
    assert told(await drift(world, APPLIED)) == [("work-iad-0", "create"), ("work-iad-1", "create")]


async def test_of_services_that_serve_the_destroyed_machines_alone_tell() -> None:
    web = (
        task_spec(count="2").stack and "version: 1\nname: stack\napps: {app: {image: i, services: {web: {count: N%s}}}}"
    )

    async def scenario(ports: str) -> None:
        async with open_world() as world:
            two = spec_of((web % ports).replace("N", "2"))
            await world.apply(two)
            has_mark = [marks.COUNTS in machine.config["metadata"] for machine in world.machines()]
            assert has_mark == [not ports, False]
            await destroy(world, "web-iad-1")
            assert told(await drift(world, two)) == [("web-iad-1", "create")]

    for ports in ("", ", ports: [8080]"):
        await scenario(ports)


async def test_both_a_change_of_the_spec_and_someone_elses_are_told_in_one_section(world: World) -> None:
    await world.apply(APPLIED)
    machine = next(one for one in world.machines() if one.name == "work-iad-1")
    config = machine.config | {"guest": machine.config["guest"] | {"memory_mb": 1024}}
    await world.engine.update("app", machine.id, {"config": config, "skip_launch": True}, None)
    await world.context.clock.sleep(10)
    [change] = (await drift(world, WANTED)).effective
    assert change.slot.name == "work-iad-1"
    assert {field.cause for field in change.fields} == {Cause.BOTH}
    assert "guest.memory_mb" in {field.path for field in change.fields}
    assert not only_drift(await world.plan(WANTED)).has_changes


async def test_only_drift_makes_a_destroyed_machine_again_and_says_what_it_leaves(world: World) -> None:
    await world.apply(APPLIED)
    await destroy(world, "work-iad-1")
    wider = task_spec(count="30", extra=BASE)
    found = only_drift(await looked_at(world, wider))
    assert told(found) == [("work-iad-1", "create")]
    [warning] = found.warnings
    assert warning.startswith("28 changes of the spec are not made: app/work-iad-2 (create), ")
    assert "and 8 more" in warning
    assert (await apply(world.context, wider, found, Options(only_drift=True))).is_success
    assert [machine.name for machine in world.machines()] == ["work-iad-0", "work-iad-1"]
    assert told(only_drift(await looked_at(world, wider))) == []


async def test_a_destroyed_machine_of_a_changed_pool_is_left_to_the_apply(world: World) -> None:
    await world.apply(APPLIED)
    await destroy(world, "work-iad-1")
    found = only_drift(await looked_at(world, WANTED))
    assert told(found) == []
    assert "3 changes of the spec are not made" in found.warnings[0]


async def test_what_is_remembered_is_in_no_hash(world: World) -> None:
    await world.apply(APPLIED)
    await destroy(world, "work-iad-1")
    known = await looked_at(world, APPLIED)
    forget_counts(world)
    [change] = (await world.plan(APPLIED)).effective
    assert (change.action, change.reason) == (Action.CREATE, "not there")
    assert plan_sha256(known) == plan_sha256(await world.plan(APPLIED))


@pytest.mark.parametrize("text", ["", "x", "iad", "iad=", "iad=x,ams=2", "iad=²", "=,=,="])
def test_a_mark_that_makes_no_sense_tells_nothing(text: str) -> None:
    assert marks.parse_counts(text) in ({}, {"ams": 2})


def test_counts_that_are_too_long_for_a_mark_are_not_remembered() -> None:
    assert marks.parse_counts(marks.counts_to_text({"iad": 2, "ams": 10_000})) == {"iad": 2, "ams": 10_000}
    assert marks.counts_to_text({f"r{number:02}": 1 for number in range(40)}) == ""
