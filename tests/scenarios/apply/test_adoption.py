"""Adoption: a machine that is as declared gets our marks and nothing else, whatever is lost on the way."""

import asyncio
import re
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.apply.apply import apply
from reconciler.engine.faults.settings import LATENCIES, Settings
from reconciler.engine.models import Machine
from reconciler.errors import ApiError, ApiErrorKind, BlockedError
from reconciler.model import marks
from reconciler.model.change import Action
from reconciler.model.report import Report, Status
from reconciler.model.revision import numbered
from reconciler.model.run_policy import Override
from reconciler.model.spec import Spec
from reconciler.operations.apply import carry_out
from reconciler.operations.release import propose_release
from tests.support.approvals import WAYS, apply_approved
from tests.support.faults import FAULTS, after_requests, dying
from tests.support.world import CHECKED, World, app_spec, open_world, spec_of, task_spec

ONE = task_spec("[run, '30']", count="1")
KINDS = app_spec(
    """
    tasks:
      work: {command: [run, '1000'], count: 2, timeout: 10m, metadata: {team: ops}}
      other: {command: [exit, '0'], protect: true}
    services:
      web: {command: [run, '1000000000'], count: 2}
      idle:
        command: [run, '1000000000']
        config: {services: [{internal_port: 80, protocol: tcp, autostop: stop}]}
"""
)


async def made_by_others(world: World, spec: Spec, **metadata: str) -> None:
    """Makes each slot's machine as declared, without marks; those of services run."""
    world.engine.create_app("app", "personal")
    for pool in spec.pools:
        config = dict(pool.config.document)
        config["metadata"] = {**pool.config.metadata, **metadata}
        for slot in pool.slots:
            is_resting = pool.kind.value == "task" or pool.config.may_rest
            world.engine.create("app", {"name": slot.name, "config": config, "skip_launch": is_resting})
    await world.context.clock.sleep(60)


def told(world: World) -> dict[str, tuple[str, Any]]:
    """What may not change: each machine's version and state."""
    return {one.name: (one.instance_id, one.state) for one in world.machines()}


def marks_of(world: World, name: str) -> dict[str, str]:
    found: dict[str, str] = machine(world, name).config.get("metadata") or {}
    return {key: value for key, value in found.items() if marks.is_mark(key)}


def machine(world: World, name: str) -> Machine:
    return next(one for one in world.machines() if one.name == name)


def ends(report: Report) -> dict[str, tuple[Action, Status]]:
    return {one.slot.name: (one.action, one.status) for one in report.entries}


async def test_what_is_as_declared_gets_marks_alone_also_while_it_runs(world: World) -> None:
    await made_by_others(world, KINDS, theirs="x")
    await world.engine.start_machine("app", machine(world, "work-iad-1").id, None)
    await world.context.clock.sleep(5)
    before, starts = told(world), len(world.runtime.starts)
    plan = await world.plan(KINDS, adopt=True)
    assert all(change.is_marks_only and not change.deferred for change in plan.effective)
    world.transport.requests.clear()
    report = await world.apply(KINDS, adopt=True, revision=numbered(3))
    assert report.is_success
    assert {*ends(report).values()} == {(Action.ADOPT, Status.DONE)}
    assert (told(world), len(world.runtime.starts)) == (before, starts)
    assert not [one for one in world.transport.requests if re.fullmatch(r"POST /apps/app/machines(/[^/]+)?", one)]
    for one in world.machines():
        written = [
            request for request in world.transport.requests if f"POST /apps/app/machines/{one.id}/meta" in request
        ]
        adopted = written[: 1 + next(at for at, request in enumerate(written) if request.endswith(marks.STACK))]
        assert adopted[-1].endswith(marks.STACK)
        assert len(adopted) >= 7
        assert {sent.rpartition("/")[2] for sent in written[len(adopted) :]} <= {marks.HIGHEST}
        assert one.config["metadata"]["theirs"] == "x"
        assert marks_of(world, one.name)[marks.REVISION] == "n3"
    assert marks_of(world, "other-iad-0")[marks.PROTECT] == "yes"
    assert not (await world.plan(KINDS)).has_changes
    assert not (await world.plan(KINDS, adopt=True)).has_changes


async def test_it_has_the_marks_that_a_machine_of_our_own_has() -> None:
    found = []
    for is_theirs in (True, False):
        async with open_world() as world:
            if is_theirs:
                await made_by_others(world, KINDS)
            assert (await world.apply(KINDS, adopt=is_theirs)).is_success
            keys = {one.name: marks_of(world, one.name) for one in world.machines()}
            found.append({name: {k: v for k, v in one.items() if k != marks.ATTEMPT} for name, one in keys.items()})
    assert found[0] == found[1]


async def test_a_service_that_should_be_running_is_started_and_the_plan_says_so(world: World) -> None:
    spec = app_spec("    services: {web: {command: [run, '1000000000']}}")
    await made_by_others(world, spec)
    await world.engine.stop_machine("app", machine(world, "web-iad-0").id, {}, None)
    await world.context.clock.sleep(30)
    version, starts = machine(world, "web-iad-0").instance_id, len(world.runtime.starts)
    [change] = (await world.plan(spec, adopt=True)).effective
    assert "started: it is stopped" in change.reason
    assert (await world.apply(spec, adopt=True)).is_success
    assert len(world.runtime.starts) == starts + 1
    assert machine(world, "web-iad-0").instance_id == version


@pytest.mark.world(Settings(latency=replace(LATENCIES["fly"], list_lag_s=0.0)))
async def test_those_with_checks_go_one_at_a_time_until_these_pass_again(world: World) -> None:
    await made_by_others(world, CHECKED)
    plan = await world.plan(CHECKED, adopt=True)
    assert [change.depends_on for change in plan.effective] == [(), (plan.effective[0].address,)]
    before = told(world)
    [first, second] = [one.id for one in world.machines()]
    world.transport.requests.clear()
    assert (await world.apply(CHECKED, adopt=True)).is_success
    assert told(world) == before
    sent = [one.partition("?")[0] for one in world.transport.requests]
    released, leased = (f"{verb} /apps/app/machines/{one}/lease" for verb, one in (("DELETE", first), ("POST", second)))
    watched = sent[sent.index(released) : sent.index(leased)]
    assert f"GET /apps/app/machines/{first}" in watched
    for one in await world.context.client.list_machines("app") or ():
        assert [check.status for check in one.checks] == ["passing"]


async def test_what_differs_is_changed_too_but_not_while_it_runs(world: World) -> None:
    await made_by_others(world, task_spec("[run, '31']", count="2"))
    spec = task_spec("[run, '30']", count="2")
    await world.engine.start_machine("app", machine(world, "work-iad-1").id, None)
    await world.context.clock.sleep(1)
    report = await world.apply(spec, adopt=True)
    assert report.is_success
    assert ends(report) == {
        "work-iad-0": (Action.ADOPT, Status.DONE),
        "work-iad-1": (Action.ADOPT, Status.DEFERRED),
    }
    assert marks_of(world, "work-iad-1") == {}
    report = await world.apply(spec, adopt=True, wait_busy_s=60)
    assert report.is_success
    assert not (await world.plan(spec)).has_changes


async def test_one_that_was_changed_since_the_plan_is_not_adopted(world: World) -> None:
    await made_by_others(world, ONE)
    plan = await world.plan(ONE, adopt=True)
    config = machine(world, "work-iad-0").config | {"env": {"A": "1"}}
    await world.engine.update("app", machine(world, "work-iad-0").id, {"config": config, "skip_launch": True}, None)
    await world.context.clock.sleep(30)
    report = await apply(world.context, ONE, plan)
    assert ends(report) == {"work-iad-0": (Action.ADOPT, Status.FAILED)}
    assert marks_of(world, "work-iad-0") == {}
    assert not report.is_success


async def test_of_two_applies_at_once_both_end_well_and_of_two_stacks_one_has_it(world: World) -> None:
    await made_by_others(world, KINDS)
    before = told(world)
    reports = await asyncio.gather(world.apply(KINDS, adopt=True), world.apply(KINDS, adopt=True))
    assert all(report.is_success for report in reports)
    assert told(world) == before
    assert not (await world.plan(KINDS)).has_changes


async def test_of_two_stacks_one_has_it(world: World) -> None:
    await made_by_others(world, ONE)
    other = replace(ONE, stack="other")
    reports = await asyncio.gather(world.apply(ONE, adopt=True), world.apply(other, adopt=True), return_exceptions=True)
    assert sorted(isinstance(one, Report) and one.is_success for one in reports) == [False, True]
    [loser] = [one for one in reports if not (isinstance(one, Report) and one.is_success)]
    assert isinstance(loser, Report)
    assert [one.detail for one in loser.entries] == [
        f"belongs to stack {marks_of(world, 'work-iad-0')[marks.STACK]} by now; left alone"
    ]


async def test_another_stack_that_heeds_no_lease_keeps_what_it_has_marked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made_by_others(world, ONE)
    client, sent = world.context.client, []
    write = client.set_metadata

    async def meddled(app: str, machine_id: str, key: str, value: str) -> None:
        sent.append(key)
        await write(app, machine_id, key, "other" if key == marks.STACK else value)

    monkeypatch.setattr(client, "set_metadata", meddled)
    report = await world.apply(ONE, adopt=True)
    assert [one.detail for one in report.entries] == ["belongs to stack other by now; left alone"]
    assert sent.count(marks.STACK) == 1
    assert marks_of(world, "work-iad-0")[marks.STACK] == "other"


@pytest.mark.parametrize("kind", [ApiErrorKind.UNCLEAR, ApiErrorKind.REFUSED])
async def test_nobody_else_writes_before_a_mark_that_may_arrive_late(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: ApiErrorKind
) -> None:
    await made_by_others(world, ONE)

    async def lost(*_words: str) -> None:
        raise ApiError("no answer", kind=kind)

    monkeypatch.setattr(world.context.client, "set_metadata", lost)
    assert not (await world.apply(ONE, adopt=True)).is_success
    assert (machine(world, "work-iad-0").lease is not None) is (kind is ApiErrorKind.UNCLEAR)


@pytest.mark.parametrize("requests", range(2, 18))
async def test_half_written_marks_are_nobodys_and_the_next_adoption_goes_on(requests: int) -> None:
    async with open_world() as world:
        await made_by_others(world, ONE)
        before = told(world)
        with dying(world.transport, after_requests(requests)):
            await world.apply(ONE, adopt=True, revision=numbered(1))
        await world.context.clock.sleep(120)
        if marks.STACK not in marks_of(world, "work-iad-0"):
            with pytest.raises(BlockedError, match="--adopt"):
                await world.apply(ONE)
            released = await carry_out(world.session, await propose_release(world.session, ONE))
            assert released.is_success
            assert marks_of(world, "work-iad-0") == {}
        else:
            assert not (await world.plan(ONE)).has_changes
        assert (await world.apply(ONE, adopt=True)).is_success
        assert told(world) == before
        assert not (await world.plan(ONE)).has_changes


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_after_any_fault_the_next_apply_is_all_that_it_takes(fault: str) -> None:
    for ahead in range(1, 18, 2):
        async with open_world() as world:
            await made_by_others(world, ONE)
            before = told(world)
            world.transport.strike(fault, ahead=ahead)
            try:
                report = await world.apply(ONE, adopt=True)
            except Exception:
                report = None
            world.transport.relent()
            if report and report.is_success:
                assert not (await world.plan(ONE)).has_changes
            await world.context.clock.sleep(300)
            assert (await world.apply(ONE, adopt=True)).is_success
            assert told(world) == before
            assert not (await world.plan(ONE)).has_changes


@pytest.mark.parametrize("is_lost_again", [False, True])
async def test_a_mark_that_got_lost_is_written_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch, is_lost_again: bool
) -> None:
    await made_by_others(world, ONE)
    before, client, sent = told(world), world.context.client, []
    write = client.set_metadata

    async def lossy(app: str, machine_id: str, key: str, value: str) -> None:
        sent.append(key)
        if key != marks.APPLIED or (sent.count(key) > 1 and not is_lost_again):
            await write(app, machine_id, key, value)

    with monkeypatch.context() as patched:
        patched.setattr(client, "set_metadata", lossy)
        report = await world.apply(ONE, adopt=True)
    assert report.is_success is not is_lost_again
    assert sent.count(marks.APPLIED) == 2
    assert told(world) == before
    [ended] = report.entries
    assert (marks.APPLIED in ended.detail) is is_lost_again
    assert (await world.apply(ONE, adopt=True)).is_success


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("requests", [4, 8, 12, 20])
async def test_a_reviewed_adoption_that_is_cut_off_is_finished(way: str, requests: int) -> None:
    spec = task_spec("[run, '30']", count="2")
    async with open_world() as world:
        await made_by_others(world, spec)
        before = told(world)
        plan = await world.plan(spec, adopt=True, allow_destroy=1000)
        consent = replace(WAYS[way](plan, spec), adopt=True)
        if consent.saved:
            consent = replace(consent, saved=replace(consent.saved, adopt=True))
        with dying(world.transport, after_requests(requests)):
            await apply_approved(world, spec, consent, revision=numbered(1))
        await world.context.clock.sleep(120)
        assert (await apply_approved(world, spec, consent, revision=numbered(1))).is_success
        assert (await apply_approved(world, spec, consent, revision=numbered(1))).is_nothing_left
        assert told(world) == before


async def test_what_an_earlier_stack_left_is_taken_off_and_a_newer_revision_fences(world: World) -> None:
    await made_by_others(
        world,
        ONE,
        **{marks.SLOT: "work-iad-9", marks.ANCHOR: "x", marks.PROTECT: "yes", marks.OVERRIDE: "a;b;c"},
    )
    assert (await world.apply(ONE, adopt=True)).is_success
    left = marks_of(world, "work-iad-0")
    assert (left[marks.SLOT], left[marks.ANCHOR]) == ("work-iad-0", "work-iad-0")
    assert not {marks.PROTECT, marks.OVERRIDE} & left.keys()


async def test_an_adopted_machine_runs_with_args_of_its_own_and_goes_back(world: World) -> None:
    spec = task_spec("[run, '5']", count="1", extra="        args: [exit, '1']\n        overrides: {args: true}\n")
    await made_by_others(world, spec)
    assert (await world.apply(spec, adopt=True)).is_success
    run = await world.invoke(spec, override=Override(args=("exit", "0")))
    assert run.outcome
    assert run.outcome.exit_code == 0
    await world.context.clock.sleep(60)
    assert not (await world.plan(spec)).has_changes
    assert marks.OVERRIDE not in marks_of(world, "work-iad-0")


@pytest.mark.parametrize("what", ["update", "start"])
async def test_one_that_was_released_since_it_was_planned_is_left_alone(world: World, what: str) -> None:
    text = """version: 1
name: stack
apps:
  app:
    image: registry.example/app:1
    services: {{web: {{command: [run, '1000000000'], env: {{V: '{}'}}}}}}
"""
    await world.apply(spec_of(text.format(1)))
    spec = spec_of(text.format(2 if what == "update" else 1))
    if what == "start":
        await world.engine.stop_machine("app", machine(world, "web-iad-0").id, {}, None)
        await world.context.clock.sleep(30)
    plan = await world.plan(spec)
    await world.context.client.delete_metadata("app", machine(world, "web-iad-0").id, marks.STACK)
    before = told(world)
    report = await apply(world.context, spec, plan)
    assert ends(report) == {"web-iad-0": (Action(what), Status.FAILED)}
    assert told(world) == before


@pytest.mark.slow
@pytest.mark.parametrize("meddling", [("steal_lease", 300.0), ("lose_lease", None), ("vanish", None)])
async def test_whatever_becomes_of_the_lease_or_the_machine_the_next_apply_makes_it_good(
    meddling: tuple[str, float | None],
) -> None:
    fault, seconds = meddling
    details = {"seconds": seconds} if seconds else {}
    for ahead in range(1, 18, 2):
        async with open_world() as world:
            await made_by_others(world, ONE)
            await world.context.clock.sleep(120)
            world.transport.faults.add(fault, request=world.transport.faults.requests + ahead, **details)
            await world.apply(ONE, adopt=True, lock_timeout_s=5)
            world.transport.relent()
            await world.context.clock.sleep(400)
            assert (await world.apply(ONE, adopt=True)).is_success
            assert [one.name for one in world.machines()] == ["work-iad-0"]
            assert not (await world.plan(ONE)).has_changes
            assert world.runtime.starts == []
