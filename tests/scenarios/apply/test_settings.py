"""Settings of a pool that no config shows (timeout, overrides, protection) are changes of the plan like any other."""

import pytest
from msgspec.structs import replace

from reconciler.engine.models import Lease
from reconciler.model import marks
from reconciler.model.change import Action
from reconciler.model.plan import Plan
from reconciler.model.report import Reason, Report, Status
from reconciler.model.revision import numbered
from reconciler.model.run_policy import RunPolicy, parse_run_policy
from reconciler.model.spec import Spec
from reconciler.planner.drift import only_drift, with_drift
from reconciler.planner.hashes import plan_sha256
from tests.support.faults import dying
from tests.support.world import World, app_text, spec_of, task_spec

ADDRESS = "app/work/settings"


def spec(extra: str = "", *, command: str = "[run, '60']", count: str = "2") -> Spec:
    return task_spec(command, count=count, extra=f"        {extra}" if extra else "")


def shown(plan: Plan) -> list[tuple[str, str, object, object]]:
    return [
        (change.address, field.path, field.observed, field.desired)
        for change in plan.effective
        if change.action is Action.SETTINGS
        for field in change.fields
    ]


def ends(report: Report) -> dict[str, tuple[Status, Reason | None]]:
    return {ended.address: (ended.status, ended.reason) for ended in report.entries}


def calls(world: World) -> list[str]:
    """Since the trace was cleared, what was asked of machines, less ids."""
    return [f"{one.method} {'/'.join(one.path.split('/')[6:])}" for one in world.trace if one.path.count("/") > 4]


def mark(world: World, name: str, key: str) -> str | None:
    machine = next(one for one in world.machines() if one.name == name)
    value: str | None = machine.config["metadata"].get(key)
    return value


def set_mark(world: World, name: str, key: str, value: str) -> None:
    machine = next(one for one in world.machines() if one.name == name)
    config = dict(machine.config) | {"metadata": {**machine.config["metadata"], key: value}}
    world.engine.store.save(replace(machine, config=config))


async def start(world: World, name: str) -> None:
    await world.context.clock.sleep(5)  # one that was made a moment ago cannot be started yet
    machine = next(one for one in world.machines() if one.name == name)
    await world.engine.start_machine("app", machine.id, None)
    await world.context.clock.sleep(1)


def timeout_of(world: World, name: str = "work-iad-0") -> float | None:
    policy = parse_run_policy(mark(world, name, marks.TERMS) or "")
    assert policy is not None
    return policy.timeout_s


async def test_a_new_timeout_alone_is_a_change_that_is_counted_hashed_and_applied_once(world: World) -> None:
    before, after = spec("timeout: 10m"), spec("timeout: 1h")
    await world.apply(before)
    assert not (await world.plan(before)).has_changes
    plan = await world.plan(after)
    assert shown(plan) == [(ADDRESS, "timeout", "10m", "1h")]
    assert (plan.has_changes, plan.counts()["settings"], plan.counts()["none"]) == (True, 1, 2)
    assert len({plan_sha256(plan), plan_sha256(await world.plan(spec("timeout: 2h")))}) == 2
    world.trace.clear()
    report = await world.apply(after)
    assert report.is_success
    assert ends(report) == {ADDRESS: (Status.DONE, None)}
    assert calls(world) == ["POST lease", "GET ", f"POST metadata/{marks.TERMS}", "DELETE lease"]
    assert timeout_of(world) == 3600
    assert not (await world.plan(after)).has_changes


async def test_protection_is_set_on_each_machine_and_taken_away_again(world: World) -> None:
    await world.apply(spec())
    for extra, value in (("protect: true", "yes"), ("", None)):
        plan = await world.plan(spec(extra))
        assert shown(plan) == [(ADDRESS, "protect", value is None, value is not None)]
        assert (await world.apply(spec(extra))).is_success
        assert [mark(world, f"work-iad-{n}", marks.PROTECT) for n in range(2)] == [value, value]
        assert not (await world.plan(spec(extra))).has_changes


async def test_the_settings_come_before_the_anchors_update_which_carries_them_on(world: World) -> None:
    await world.apply(spec("timeout: 10m", count="1"))
    after = spec("timeout: 1h", command="[run, '61']", count="1")
    world.trace.clear()
    report = await world.apply(after)
    assert ends(report) == {"app/work-iad-0": (Status.DONE, None), ADDRESS: (Status.DONE, None)}
    assert report.is_success
    writes = [call for call in calls(world) if "metadata" in call or call == "POST "]
    assert writes == [f"POST metadata/{marks.TERMS}", "POST "]
    assert timeout_of(world) == 3600
    assert not (await world.plan(after)).has_changes


async def test_how_many_words_stay_is_not_written_before_the_command_itself(world: World) -> None:
    def declared(minutes: int, *words: str) -> Spec:
        command = f"[{', '.join(words)}]"
        return spec(f"timeout: {minutes}m\n        overrides: {{args: true}}", command=command, count="1")

    await world.apply(declared(10, "run", "'60'"))
    await world.context.clock.sleep(5)
    after = declared(20, "run", "'60'", "more")
    with dying(world.transport, lambda request: b"current_version" in request.content):
        await world.apply(after)
    await world.context.clock.sleep(120)
    assert parse_run_policy(mark(world, "work-iad-0", marks.TERMS) or "") == RunPolicy(timeout_s=1200, args_after=2)
    assert (await world.apply(after)).is_success
    assert parse_run_policy(mark(world, "work-iad-0", marks.TERMS) or "") == RunPolicy(timeout_s=1200, args_after=3)
    assert not (await world.plan(after)).has_changes


@pytest.mark.parametrize("is_busy_when_planned", [True, False])
async def test_an_anchor_with_a_run_in_progress_is_told_the_settings_all_the_same(
    world: World, is_busy_when_planned: bool
) -> None:
    await world.apply(spec("timeout: 10m", count="1"))
    after = spec("timeout: 1h", command="[run, '61']", count="1")
    if is_busy_when_planned:
        await start(world, "work-iad-0")
        report = await world.apply(after)
    else:
        report = await _apply_while_it_starts(world, after)
    assert ends(report) == {
        "app/work-iad-0": (Status.DEFERRED, Reason.RUN),
        ADDRESS: (Status.DONE, None),
    }
    assert report.is_success
    assert timeout_of(world) == 3600
    assert shown(await world.plan(after)) == []


async def _apply_while_it_starts(world: World, after: Spec) -> Report:
    from functools import partial

    from reconciler.apply.options import Options
    from reconciler.apply.retry_deferred import apply_patiently
    from reconciler.machines_api.observe import observe
    from reconciler.planner.planner import plan as make_plan

    seen = await observe(world.context.client, ["app"], clock=world.context.clock)
    plan = make_plan(after, seen)
    await start(world, "work-iad-0")
    return await apply_patiently(world.context, after, plan, partial(make_plan, after), Options(), observed=seen)


async def test_a_mark_that_is_absent_is_no_difference_and_is_written_by_the_next_apply_without_a_word(
    world: World,
) -> None:
    await world.apply(spec(count="1"))
    machine = world.machines()[0]
    bare = {key: value for key, value in machine.config["metadata"].items() if key not in _LATER}
    world.engine.store.save(replace(machine, config=dict(machine.config) | {"metadata": bare}))
    after = task_spec("[run, '60']", count="1", extra="        timeout: 1h\n        protect: true")
    plan = await world.plan(after)
    assert not plan.has_changes
    assert {key for write in plan.bookkeeping for key in write.marks} == {marks.TERMS, marks.PROTECT}
    assert (await world.apply(after)).is_success
    assert (timeout_of(world), mark(world, "work-iad-0", marks.PROTECT)) == (3600, "yes")


@pytest.mark.parametrize("parallelism", [1, 2])
async def test_the_machines_of_a_pool_get_its_settings_under_the_limit_of_the_apply(
    world: World, parallelism: int
) -> None:
    await world.apply(spec(count="5"))
    leased = []
    world.transport.before = lambda _request: leased.append(sum(one.lease is not None for one in world.machines()))
    report = await world.apply(spec("protect: true", count="5"), parallelism=parallelism)
    assert ends(report) == {ADDRESS: (Status.DONE, None)}
    assert max(leased) == parallelism
    assert {mark(world, machine.name, marks.PROTECT) for machine in world.machines()} == {"yes"}


_LATER = {marks.TERMS, marks.KIND, marks.PROTECT}


async def test_a_service_with_checks_gets_them_with_its_next_update_alone(world: World) -> None:
    text = app_text("""
    services:
      web: {command: [run, '3600'], ports: [8080]}
""")
    await world.apply(spec_of(text))
    protected = spec_of(text.replace("[8080]", "[8080], protect: true"))
    assert not (await world.plan(protected)).has_changes
    changed = spec_of(text.replace("[8080]", "[8080], protect: true, env: {A: b}"))
    assert shown(await world.plan(changed)) == [("app/web/settings", "protect", False, True)]
    assert (await world.apply(changed)).is_success
    assert mark(world, "web-iad-0", marks.PROTECT) == "yes"
    assert not (await world.plan(changed)).has_changes


async def test_a_lease_that_someone_else_holds_and_a_newer_revision_keep_the_settings_as_they_are(world: World) -> None:
    await world.apply(spec("timeout: 10m"), revision=numbered(5))
    anchor = world.machines()[0]
    until = world.engine.clock.now().timestamp() + 3600
    lease = Lease(nonce="x", expires_at=until, owner="bob@tokens.fly.io", description="", version="")
    world.engine.store.save(replace(anchor, lease=lease))
    locked = await world.apply(spec("timeout: 1h"), revision=numbered(6), lock_timeout_s=1)
    assert ends(locked) == {ADDRESS: (Status.FAILED, Reason.LOCK)}
    world.engine.store.save(replace(anchor, lease=None))
    set_mark(world, "work-iad-0", marks.HIGHEST, str(numbered(4)))
    set_mark(world, "work-iad-0", marks.REVISION, str(numbered(4)))
    report = await _apply_behind(world, spec("timeout: 2h"))
    assert ends(report) == {ADDRESS: (Status.FAILED, Reason.SUPERSEDED)}
    assert "newer" in report.entries[0].detail
    assert timeout_of(world) == 600


async def _apply_behind(world: World, after: Spec) -> Report:
    """Plan at revision 5, and apply after another one has applied revision 7."""
    from reconciler.apply.apply import apply
    from reconciler.apply.options import Options

    plan = await world.plan(after, revision=numbered(5))
    set_mark(world, "work-iad-0", marks.REVISION, str(numbered(7)))
    return await apply(world.context, after, plan, Options(revision=numbered(5)))


@pytest.mark.parametrize("fault", ["lose_reply", "unauthorized"])
async def test_where_the_mark_could_not_be_written_the_next_apply_does_it(world: World, fault: str) -> None:
    await world.apply(spec("timeout: 10m"))
    after = spec("timeout: 1h")
    world.engine.faults.add(fault, calls=("metadata",), times=1)
    await world.apply(after)
    assert (await world.apply(after)).is_success
    assert timeout_of(world) == 3600
    assert not (await world.plan(after)).has_changes


async def test_a_mark_that_cannot_be_read_is_a_change(world: World) -> None:
    declared = spec("timeout: 10m")
    await world.apply(declared)
    set_mark(world, "work-iad-0", marks.TERMS, "garbage")
    assert shown(await world.plan(declared)) == [
        (ADDRESS, "timeout", "not understood", "10m"),
        (ADDRESS, "overrides.args", "not understood", False),
        (ADDRESS, "overrides.env", "not understood", []),
    ]
    assert (await world.apply(declared)).is_success
    assert timeout_of(world) == 600
    assert not (await world.plan(declared)).has_changes


async def test_a_run_policy_that_a_hand_deleted_is_told_by_drift_and_written_by_the_next_apply(world: World) -> None:
    declared = spec("timeout: 10m")
    await world.apply(declared)
    set_mark(world, "work-iad-0", marks.TERMS, "")
    plan = await world.plan(declared)
    assert not plan.has_changes
    (warning,) = with_drift(plan).warnings
    assert warning.startswith("app/work-iad-0: the mark of its pool's run policy is not there")
    assert (await world.apply(declared)).is_success
    assert timeout_of(world) == 600
    assert with_drift(await world.plan(declared)).warnings == ()


async def test_a_mark_that_a_hand_changed_is_no_drift_and_the_next_apply_puts_it_back(world: World) -> None:
    declared = spec("timeout: 10m")
    await world.apply(declared)
    set_mark(world, "work-iad-0", marks.TERMS, "5;;")
    plan = await world.plan(declared)
    assert shown(plan) == [(ADDRESS, "timeout", "5s", "10m")]
    drift = with_drift(plan)
    assert not drift.has_changes
    assert drift.warnings == ("app/work: timeout: not as in the spec (`reconciler plan` shows how)",)
    assert not only_drift(plan).has_changes
    assert (await world.apply(declared)).is_success
    assert timeout_of(world) == 600
