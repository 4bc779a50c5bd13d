"""A newer revision is applied while a reviewed plan is: what it had first is left to it, and that is no failure."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.apply.options import Options
from reconciler.errors import BlockedError
from reconciler.model import marks
from reconciler.model.plan import Plan
from reconciler.model.report import Reason, Report, Status
from reconciler.model.revision import numbered
from reconciler.model.spec import Spec
from reconciler.operations.apply import Proposal, carry_out, propose_apply
from reconciler.operations.consent import Consent
from tests.support.approvals import ALLOWED, WAYS
from tests.support.world import NO_IMAGES, World, app_spec, task_spec

FIRST, OURS, NEWER = (task_spec(f"[exit, '{code}']", count="3") for code in range(3))
RUNS, LONGER = (task_spec(f"[run, '{seconds}']", count="2") for seconds in (1000, 2000))


async def proposed(world: World, spec: Spec, way: str | None) -> Proposal:
    """The plan of revision 2, approved in one of the ways, or not reviewed."""
    plan: Plan = await world.plan(spec, allow_destroy=ALLOWED, revision=numbered(2))
    consent = WAYS[way](plan, spec) if way else Consent(allow_destroy=ALLOWED)
    return await propose_apply(world.session, spec, consent, Options(revision=numbered(2)), images=NO_IMAGES)


async def newer(world: World, spec: Spec) -> None:
    assert (await world.apply(spec, revision=numbered(3))).is_success


def ends(report: Report) -> list[Status]:
    return [one.status for one in report.entries]


def mark(world: World, name: str, key: str) -> str | None:
    found: dict[str, Any] = next(one for one in world.machines() if one.name == name).config["metadata"]
    return found.get(key)


def stamping(world: World, name: str, is_time: Callable[[str], bool]) -> None:
    """Lets a newer apply have changed the machine of this name, from the first such request on."""
    seen: list[Any] = []

    def before(request: Any) -> None:
        if not seen and is_time(f"{request.method} {request.url.path}"):
            seen.append(request)
            machine = next(one for one in world.machines() if one.name == name)
            metadata = machine.config["metadata"] | {marks.REVISION: "n3", marks.APPLIED: "1:newer"}
            world.engine.store.save(replace(machine, config=machine.config | {"metadata": metadata}))

    world.transport.before = before


def words_of(world: World) -> str:
    return "\n".join(world.said)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("before", [FIRST, None], ids=["updates", "creates"])
async def test_what_the_newer_one_has_applied_is_left_to_it(world: World, way: str, before: Spec | None) -> None:
    if before:
        await world.apply(before, revision=numbered(1))
    proposal = await proposed(world, OURS, way)
    await newer(world, NEWER)
    told = [(one.config["init"], one.config["metadata"]) for one in world.machines()]
    report = await carry_out(world.session, proposal)
    assert report.is_success, report
    assert report.superseded_by == numbered(3)
    assert {*ends(report)} == {Status.SKIPPED}
    assert [(one.config["init"], one.config["metadata"]) for one in world.machines()] == told
    assert "failed" not in words_of(world)


@pytest.mark.parametrize("way", WAYS)
async def test_in_the_middle_what_was_done_stays_and_nothing_more_is_begun(world: World, way: str) -> None:
    await world.apply(FIRST, revision=numbered(1))
    proposal = await proposed(world, OURS, way)
    proposal = replace(proposal, options=replace(proposal.options, parallelism=1))
    first = next(one.id for one in world.machines() if one.name == "work-iad-0")
    stamping(world, "work-iad-1", lambda request: request == f"DELETE /v1/apps/app/machines/{first}/lease")
    report = await carry_out(world.session, proposal)
    assert report.is_success, report
    assert ends(report) == [Status.DONE, Status.SKIPPED, Status.SKIPPED]
    assert report.entries[1].reason is Reason.SUPERSEDED
    assert "a newer revision was applied meanwhile" in report.entries[2].detail
    assert [one.config["init"]["cmd"][1] for one in world.machines()] == ["1", "0", "0"]
    assert mark(world, "work-iad-0", marks.LAST_PLAN) is None, "the bookkeeping is the newer revision's"


@pytest.mark.parametrize("way", WAYS)
async def test_machines_that_the_newer_one_destroyed_are_left_to_it_too(world: World, way: str) -> None:
    await world.apply(FIRST, revision=numbered(1))
    proposal = await proposed(world, OURS, way)
    await newer(world, task_spec("[exit, '0']", count="1"))
    report = await carry_out(world.session, proposal)
    assert report.is_success, report
    assert report.superseded_by == numbered(3)
    assert [one.name for one in world.machines()] == ["work-iad-0"]


@pytest.mark.parametrize("way", WAYS)
async def test_machines_that_it_destroyed_are_no_failure_though_nothing_else_is_due(world: World, way: str) -> None:
    """No machine that the plan changes tells of the newer revision: planning again does."""
    both = "    tasks: {{a: {{command: [exit, '0']}}, b: {{command: [exit, '{}']}}}}"
    await world.apply(app_spec(both.format(0)), revision=numbered(1))
    await world.context.clock.sleep(120)  # what is not found in a new app is asked for again
    spec = app_spec(both.format(1))
    proposal = await proposed(world, spec, way)
    await newer(world, app_spec("    tasks: {a: {command: [exit, '0']}}"))
    report = await carry_out(world.session, proposal)
    assert report.is_success, report
    assert report.superseded_by == numbered(3)
    assert ends(report) == [Status.SKIPPED]


@pytest.mark.parametrize("way", WAYS)
async def test_an_anchor_that_may_not_be_told_is_no_failure(world: World, way: str) -> None:
    """A run is in progress on the anchor, which the newer apply has told what its pool should be."""
    await world.apply(RUNS, revision=numbered(1))
    run = asyncio.ensure_future(world.invoke(RUNS, is_waiting=False))
    await run
    busy = run.result().slot
    assert busy
    proposal = await proposed(world, LONGER, way)
    assert (await world.apply(task_spec("[run, '3000']", count="2"), revision=numbered(3))).is_success
    report = await carry_out(world.session, proposal)
    assert report.is_success, report
    assert report.superseded_by == numbered(3)
    assert Status.DONE not in ends(report)


@pytest.mark.parametrize("way", WAYS)
async def test_settings_of_a_newer_revision_are_left_to_it(world: World, way: str) -> None:
    await world.apply(task_spec(count="1", extra="        timeout: 1m\n"), revision=numbered(1))
    proposal = await proposed(world, task_spec(count="1", extra="        timeout: 2m\n"), way)
    await newer(world, task_spec(count="1", extra="        timeout: 3m\n"))
    report = await carry_out(world.session, proposal)
    assert report.is_success, report
    assert ends(report) == [Status.SKIPPED]


@pytest.mark.parametrize("way", WAYS)
async def test_a_destroy_that_cannot_be_noted_first_is_no_failure(world: World, way: str) -> None:
    await world.apply(FIRST, revision=numbered(1))
    proposal = await proposed(world, task_spec("[exit, '0']", count="1"), way)
    await newer(world, task_spec("[exit, '0']", count="3"))
    report = await carry_out(world.session, proposal)
    assert report.is_success, report
    assert len(world.machines()) == 3


async def test_without_a_review_it_is_a_failure_as_before(world: World) -> None:
    await world.apply(FIRST, revision=numbered(1))
    proposal = await proposed(world, OURS, None)
    await newer(world, NEWER)
    report = await carry_out(world.session, proposal)
    assert not report.is_success
    assert report.superseded_by is None
    assert report.entries[0].status is Status.FAILED
    assert report.entries[0].reason is Reason.SUPERSEDED
    with pytest.raises(BlockedError, match="--allow-rollback"):
        await world.apply(OURS, revision=numbered(2))


async def test_a_failure_of_another_kind_stays_one(world: World) -> None:
    await world.apply(FIRST, revision=numbered(1))
    proposal = await proposed(world, OURS, "set")
    first = next(one.id for one in world.machines() if one.name == "work-iad-0")
    stamping(world, "work-iad-1", lambda request: request == f"DELETE /v1/apps/app/machines/{first}/lease")
    world.engine.faults.add(fault="trial", machine="work-iad-2", calls=("update",))
    report = await carry_out(world.session, proposal)
    assert ends(report) == [Status.DONE, Status.SKIPPED, Status.FAILED]
    assert report.superseded_by == numbered(3)
    assert not report.is_success
