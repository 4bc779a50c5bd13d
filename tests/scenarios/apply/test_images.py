"""An image counts by its digest, one that the spec builds by its content; tags are only shown."""

import asyncio

import pytest

from reconciler.model import marks
from reconciler.model.change import Cause, ReasonCode
from reconciler.model.machine import Observed
from reconciler.model.plan import Plan
from reconciler.model.report import Status
from reconciler.model.spec import Spec
from reconciler.planner.desired import with_applied_digests, with_contents, with_digests
from reconciler.planner.drift import is_drift
from reconciler.planner.hashes import plan_sha256, spec_sha256
from reconciler.planner.image_builds import plan_with_digests
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.snapshot import observe_stack
from tests.support.world import World, spec_of

ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")
REPOSITORY = "registry.example/app"
BUILT = "registry.fly.io/app"
FIRST, SECOND = (f"{BUILT}:ctx-{letter * 32}" for letter in "ab")
# What the version before this wrote of these two images with digest ONE: `applied`, `fields`, and its reference.
EARLIER = {
    "a tag": (
        f"{REPOSITORY}:v1@{ONE}",
        "1:84fafb972b9247b60751",
        "guest=d43d,image=ba89,init=4a21,restart=b912",
    ),
    "a build": (
        f"{BUILT}:build-fb101a20@{ONE}",
        "1:5fbe0036cba694104a6a",
        "guest=d43d,image=05eb,init=4a21,restart=b912",
    ),
}


def text(image: str, more: str = "") -> str:
    return (
        "version: 1\nname: stack\napps:\n  app:\n"
        f"    {image}\n    tasks: {{work: {{command: [run, '50'], count: 2{more}}}}}\n"
    )


def tagged(tag: str, digest: str, more: str = "") -> Spec:
    """The spec whose image's tag was looked up."""
    return with_digests(spec_of(text(f"image: {REPOSITORY}:{tag}", more)), {f"{REPOSITORY}:{tag}": digest})


def built(content: str, digest: str | None = None, more: str = "") -> Spec:
    """The spec whose image is built of this content; without a digest it is not built yet."""
    named = with_contents(spec_of(text("build: .", more)), {("app", "work"): content})
    return with_digests(named, {content: digest}) if digest else named


async def seen(world: World, spec: Spec) -> Observed:
    return await observe_stack(world.context, spec)


async def planned(world: World, spec: Spec, **unsure: tuple[str, ...]) -> Plan:
    observed = await seen(world, spec)
    return make_plan(with_applied_digests(spec, observed, **unsure), observed)


def fields(plan: Plan) -> set[tuple[str, object, object, Cause]]:
    return {(one.path, one.observed, one.desired, one.cause) for change in plan.effective for one in change.fields}


async def as_earlier(world: World, image: str, applied: str, fields: str) -> None:
    """The machines are as the version before this applied them."""
    for machine in world.machines():
        await world.engine.update("app", machine.id, {"config": machine.config | {"image": image}}, None)
        world.engine.set_metadata("app", machine.id, {marks.APPLIED: applied, marks.FIELDS: fields})
        if marks.WANT in machine.config["metadata"]:
            world.engine.set_metadata("app", machine.id, {marks.WANT: f"{applied};;{ONE}"})
    await world.context.clock.sleep(10)


async def test_two_tags_of_one_digest_are_one_image(world: World) -> None:
    first = await planned(world, tagged("v1", ONE))
    assert plan_sha256(first) == plan_sha256(await planned(world, tagged("v2", ONE)))
    assert plan_sha256(first) != plan_sha256(await planned(world, tagged("v1", TWO)))
    assert spec_sha256(tagged("v1", ONE)) == spec_sha256(tagged("v2", ONE)) != spec_sha256(tagged("v1", TWO))
    assert first.changes[0].desired
    assert first.changes[0].desired.config.image == f"{REPOSITORY}:v1@{ONE}"

    assert (await world.apply(tagged("v1", ONE))).is_success
    assert not (await planned(world, tagged("v2", ONE))).has_changes
    moved, other = await planned(world, tagged("v1", TWO)), await planned(world, tagged("v2", TWO))
    before = f"{REPOSITORY}:v1@{ONE}"
    assert fields(moved) == {("image", before, f"{REPOSITORY}:v1@{TWO}", Cause.IMAGE)}
    assert fields(other) == {("image", before, f"{REPOSITORY}:v2@{TWO}", Cause.SPEC)}
    assert plan_sha256(moved) == plan_sha256(other)


async def test_a_run_takes_another_tag_of_what_was_applied(world: World) -> None:
    await world.apply(tagged("v1", ONE))
    run = await world.invoke(spec_of(text(f"image: {REPOSITORY}:v2")))
    assert run.outcome.exit_code == 0


@pytest.mark.parametrize("what", EARLIER)
async def test_what_an_earlier_version_applied_is_as_declared(world: World, what: str) -> None:
    image, applied, sections = EARLIER[what]
    spec = tagged("v1", ONE) if what == "a tag" else built(FIRST, ONE)
    other = tagged("v2", ONE) if what == "a tag" else spec
    await world.apply(spec)
    await as_earlier(world, image, applied, sections)
    for same in (spec, other):
        found = await planned(world, same)
        assert (found.has_changes, list(found.bookkeeping)) == (False, [])
    assert not (await world.apply(spec)).entries
    world.transport.requests.clear()
    as_written = spec_of(text("build: ." if what == "a build" else f"image: {REPOSITORY}:v1"))
    assert (await world.invoke(as_written)).outcome.exit_code == 0
    assert [one for one in world.transport.requests if one.startswith("POST") and one.count("/") == 4] == []

    more = tagged("v2", ONE, ", env: {A: b}") if what == "a tag" else built(FIRST, ONE, ", env: {A: b}")
    changed = await planned(world, more)
    assert fields(changed) == {("env.A", None, "b", Cause.SPEC)}
    assert {change.code for change in changed.effective} == {ReasonCode.SPEC}

    machine = world.machines()[0]
    await world.engine.update("app", machine.id, {"config": machine.config | {"image": "evil:1"}}, None)
    await world.context.clock.sleep(10)
    [put_back] = (await planned(world, as_written)).effective  # as `drift` does, which asks no registry
    assert {(one.path, one.observed, one.cause) for one in put_back.fields} == {("image", "evil:1", Cause.DRIFT)}
    assert is_drift(put_back)


async def test_an_earlier_versions_marks_go_on_beside_new_ones(world: World) -> None:
    image, applied, sections = EARLIER["a tag"]
    await world.apply(tagged("v1", ONE))
    await as_earlier(world, image, applied, sections)
    more = spec_of(text(f"image: {REPOSITORY}:v1").replace("count: 2", "count: 3"))
    report = await world.apply(with_digests(more, {f"{REPOSITORY}:v1": ONE}))
    assert [one.slot.name for one in report.entries] == ["work-iad-2"]
    for machine in world.machines():
        assert machine.config["metadata"][marks.APPLIED][:2] == ("2:" if machine.name == "work-iad-2" else "1:")
    versions = {machine.name: machine.instance_id for machine in world.machines()}
    runs = await asyncio.gather(*(world.invoke(more) for _ in range(3)))
    assert len({run.machine_id for run in runs}) == 3
    assert versions == {machine.name: machine.instance_id for machine in world.machines()}, "no run needed an update"


async def test_a_built_image_is_the_same_before_the_build_and_after_it(world: World) -> None:
    before, after = await planned(world, built(FIRST)), await planned(world, built(FIRST, ONE))
    assert [(one.app, one.image, one.context) for one in before.builds] == [("app", FIRST, ".")]
    assert after.builds == ()
    assert plan_sha256(before) == plan_sha256(after) == plan_sha256(plan_with_digests(before, {FIRST: ONE}))
    assert plan_with_digests(before, {FIRST: ONE}) == after
    assert spec_sha256(built(FIRST)) == spec_sha256(built(FIRST, ONE)) != spec_sha256(built(SECOND))

    await world.apply(built(FIRST, ONE))
    for same in (built(FIRST), built(FIRST, ONE), built(FIRST, TWO)):
        found = await planned(world, same)
        assert (found.has_changes, found.builds) == (False, ())
    assert not (await planned(world, spec_of(text("build: .")))).has_changes, "the content is as it was applied"
    changed = await planned(world, built(SECOND))
    assert fields(changed) == {("image", f"{FIRST}@{ONE}", SECOND, Cause.IMAGE)}
    assert changed.effective[0].reason.startswith("the content of the image changed: it is ctx-bbb")
    assert [one.image for one in changed.builds] == [SECOND]
    assert plan_sha256(changed) == plan_sha256(await planned(world, built(SECOND, TWO)))


async def test_a_registry_without_an_answer_is_no_difference(world: World) -> None:
    assert [one.image for one in (await planned(world, built(FIRST), unsure=(FIRST,))).builds] == [FIRST]
    await world.apply(built(FIRST, ONE))
    assert not (await planned(world, built(FIRST), unsure=(FIRST,))).has_changes
    more = built(FIRST, more=", env: {A: b}")
    changed = await planned(world, more, unsure=(FIRST,))
    assert changed.builds == (), "a machine tells its digest"
    assert {one.desired.config.image for one in changed.effective if one.desired} == {f"{FIRST}@{ONE}"}
    assert [one.image for one in (await planned(world, more)).builds] == [FIRST], "the registry has lost it"
    await as_earlier(world, *EARLIER["a build"])
    assert not (await planned(world, built(SECOND), unsure=(SECOND,))).has_changes
    assert (await planned(world, built(SECOND))).has_changes


async def test_a_slot_that_was_busy_gets_the_built_image_at_its_next_run(world: World) -> None:
    as_written = spec_of(text("build: ."))
    await world.apply(built(FIRST, ONE))
    await asyncio.gather(*(world.invoke(as_written, is_waiting=False) for _ in range(2)))
    report = await world.apply(built(SECOND, TWO))
    assert {one.status for one in report.entries} == {Status.DEFERRED}
    assert {machine.config["image"] for machine in world.machines()} == {f"{FIRST}@{ONE}"}
    await world.context.clock.sleep(100)
    runs = await asyncio.gather(*(world.invoke(as_written) for _ in range(2)))
    assert {run.outcome.exit_code for run in runs} == {0}
    assert {machine.config["image"] for machine in world.machines()} == {f"{SECOND}@{TWO}"}
    assert not (await planned(world, built(SECOND, TWO))).has_changes
