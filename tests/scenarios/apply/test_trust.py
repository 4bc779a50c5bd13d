"""Two applies, two revisions, someone else's leases and machines, runs in progress: who may do what, who is told."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.apply.apply import apply
from reconciler.apply.options import Options
from reconciler.engine.faults.rules import ALWAYS
from reconciler.engine.faults.settings import Behaviour, Latency, Settings
from reconciler.engine.models import Lease
from reconciler.errors import ApiError, ApiErrorKind, BlockedError, LeaseLostError
from reconciler.machines_api.observe import observe
from reconciler.model import marks
from reconciler.model.change import Action
from reconciler.model.report import Reason, Status
from reconciler.model.revision import committed, numbered, parse_revision
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.lease import hold_lease
from reconciler.slots.lease_description import describe, is_provably_dead, parse_holder
from tests.support.world import World, app_spec, open_world, spec_of, task_spec

TWO_POOLS = """
version: 1
name: stack
apps:
  app:
    image: registry.example/app:{image}
    tasks:
      first: {{command: [exit, '0'], count: 2}}
      second: {{command: [exit, '0'], count: 2}}
"""


def statuses(report: Any) -> dict[str, Status]:
    return {ended.slot.name: ended.status for ended in report.entries}


def metadata(world: World, name: str) -> dict[str, str]:
    return next(machine for machine in world.machines() if machine.name == name).config["metadata"]


async def test_an_older_revision_neither_plans_nor_applies_over_a_newer_one(world: World) -> None:
    older, newer = task_spec("[exit, '1']"), task_spec("[exit, '2']")
    assert (await world.apply(older, revision=numbered(1))).is_success
    assert (await world.apply(newer, revision=numbered(2))).is_success
    with pytest.raises(BlockedError, match="--allow-rollback"):
        await world.apply(older, revision=numbered(1))
    assert not (await world.plan(newer)).has_changes
    assert (await world.apply(older, revision=numbered(1), allow_rollback=True)).is_success
    assert not (await world.plan(older)).has_changes
    assert (await world.apply(older, revision=numbered(1))).is_success


async def test_a_revision_of_the_other_kind_is_told_until_it_was_applied(world: World) -> None:
    spec, commit = task_spec(count="2"), committed(1_700_000_000, "a" * 40)
    await world.apply(spec, revision=commit)
    assert (await world.plan(spec, revision=committed(1_800_000_000, "b" * 40))).warnings == ()
    told = (await world.plan(spec, revision=numbered(5))).warnings
    assert told == (
        f"{commit.words} was applied, and this is revision 5: a number and a commit do not compare,"
        " so nothing tells whether this is the older one",
    )
    await world.apply(spec, revision=numbered(5))
    assert {metadata(world, name)[marks.REVISION] for name in ("work-iad-0", "work-iad-1")} == {str(commit)}
    assert (await world.plan(spec, revision=numbered(6))).warnings == ()
    assert (await world.plan(spec)).warnings == ()
    assert "revision 5 was applied" in (await world.plan(spec, revision=commit)).warnings[0]


async def test_where_nothing_holds_the_highest_revision_each_machine_tells(world: World) -> None:
    web = app_spec("    services:\n      web: {command: [run, '99999'], checks: {up: {type: tcp, port: 8080}}}\n")
    await world.apply(web, revision=numbered(3))
    assert marks.HIGHEST not in metadata(world, "web-iad-0")
    commit = committed(1_700_000_000, "a" * 40)
    assert "revision 3 was applied, and this is commit aaaa" in (await world.plan(web, revision=commit)).warnings[-1]


async def test_an_apply_that_changes_nothing_fences_older_ones_all_the_same(world: World) -> None:
    spec = task_spec()
    await world.apply(spec, revision=numbered(1))
    await world.apply(spec, revision=numbered(5))
    assert metadata(world, "work-iad-0")[marks.HIGHEST] == "n5"
    assert metadata(world, "work-iad-0")[marks.REVISION] == "n1"
    with pytest.raises(BlockedError, match="revision 5 was applied"):
        await world.apply(task_spec("[exit, '1']"), revision=numbered(3))


async def test_an_older_apply_that_looked_before_does_not_lower_the_revision(world: World) -> None:
    """Neither changes a machine: what is left on the stack's anchor is all that tells of the newer one."""
    spec = task_spec()
    await world.apply(spec, revision=numbered(1))
    seen = await observe(world.context.client, ["app"], clock=world.context.clock)
    await world.apply(spec, revision=numbered(9))
    await apply(world.context, spec, make_plan(spec, seen), Options(revision=numbered(5)), observed=seen)
    assert metadata(world, "work-iad-0")[marks.HIGHEST] == "n9"


async def test_an_older_apply_that_planned_before_is_stopped_under_the_lease_of_each_machine(world: World) -> None:
    await world.apply(task_spec("[exit, '0']", count="3"), revision=numbered(1))
    older, newer = task_spec("[exit, '1']", count="3"), task_spec("[exit, '2']", count="3")
    old_plan = await world.plan(older, revision=numbered(2))
    assert (await world.apply(newer, revision=numbered(3))).is_success
    report = await apply(world.context, older, old_plan, Options(revision=numbered(2)))
    assert not report.is_success
    assert set(statuses(report).values()) <= {Status.FAILED, Status.SKIPPED}
    assert "newer than revision 2" in report.entries[0].detail
    assert not (await world.plan(newer)).has_changes


@pytest.mark.world(Settings(latency=Latency(prepare_s=1, replace_s=2, list_lag_s=0.2)))
async def test_two_applies_of_two_versions_at_once_end_tell_the_truth_and_leave_no_mixture_on_a_machine(
    world: World,
) -> None:
    await world.apply(task_spec("[exit, '0']", count="4"), revision=numbered(1))
    await world.context.clock.sleep(5)
    older, newer = task_spec("[exit, '1']", count="4"), task_spec("[exit, '2']", count="5")
    world.transport.before = lambda _request: world.assert_unique_names()
    await asyncio.gather(
        world.apply(older, revision=numbered(2)),
        world.apply(newer, revision=numbered(3)),
        return_exceptions=True,
    )
    await world.context.clock.sleep(60)
    final = await world.apply(newer, revision=numbered(3))
    assert final.is_success, final
    await world.context.clock.sleep(5)
    assert not (await world.plan(newer)).has_changes
    commands = {tuple(machine.config["init"]["cmd"]) for machine in world.machines()}
    assert commands == {("exit", "2")}
    assert world.runtime.starts == []


async def test_two_applies_of_the_same_spec_at_once_make_each_machine_once(world: World) -> None:
    spec = task_spec(count="6")
    world.transport.before = lambda _request: world.assert_unique_names()
    await asyncio.gather(*(world.apply(spec) for _ in range(3)), return_exceptions=True)
    await world.context.clock.sleep(30)
    assert (await world.apply(spec)).is_success
    made = list(world.engine.store.machines("app"))
    assert len(made) == 6


def test_commits_compare_by_time_and_with_nothing_else() -> None:
    old, new = committed(100, "a" * 40), committed(200, "b" * 40)
    assert new.is_newer_than(old)
    assert not old.is_newer_than(new)
    assert not committed(100, "c" * 40).is_newer_than(old)
    assert not numbered(10**6).is_newer_than(old)
    assert not new.is_newer_than(None)
    assert parse_revision(str(new)) == new
    assert parse_revision(str(numbered(7))) == numbered(7)
    assert [parse_revision(text) for text in ("", "7", "nx", "g1.zz", "n" + "9" * 40)] == [None] * 5


async def test_adopting_is_a_change_of_its_own_and_keeps_what_others_wrote(world: World) -> None:
    world.engine.create_app("app", "personal")
    config = {"image": "by-hand", "init": {"cmd": ["exit", "9"]}, "metadata": {"team": "ops"}}
    theirs = world.engine.create("app", {"name": "work-iad-1", "config": config, "skip_launch": True})
    await world.context.clock.sleep(1)
    spec = task_spec(count="2")
    with pytest.raises(BlockedError, match="--adopt"):
        await world.apply(spec)
    assert len(world.machines()) == 1
    plan = await world.plan(spec, adopt=True)
    assert [(change.slot.name, change.action) for change in plan.effective] == [
        ("work-iad-0", Action.CREATE),
        ("work-iad-1", Action.ADOPT),
    ]
    assert (await world.apply(spec, adopt=True)).is_success
    adopted = next(machine for machine in world.machines() if machine.name == "work-iad-1")
    assert (adopted.id, adopted.config["metadata"]["team"]) == (theirs.id, "ops")
    assert not (await world.plan(spec)).has_changes
    assert world.runtime.starts == []


async def test_a_protected_pool_is_destroyed_by_nothing_until_it_is_unprotected(world: World) -> None:
    await world.apply(task_spec(count="2"))
    protected = task_spec(count="2", extra="        protect: true")
    assert (await world.apply(protected)).is_success
    assert metadata(world, "work-iad-1")[marks.PROTECT] == "yes"
    for less in (task_spec(count="1", extra="        protect: true"), spec_of(EMPTY)):
        with pytest.raises(BlockedError, match="protected"):
            await world.apply(less)
    assert (await world.apply(task_spec(count="2"))).is_success
    assert marks.PROTECT not in metadata(world, "work-iad-1")
    assert (await world.apply(spec_of(EMPTY))).is_success
    assert world.machines() == []


@pytest.mark.parametrize("verb", ["apply", "destroy"])
async def test_what_the_refusal_of_a_protected_pool_asks_for_is_enough(world: World, verb: str) -> None:
    accepted = task_spec(count="0", extra="        protect: false")
    refused_with = {
        "set `protect: false`": task_spec(count="0", extra="        protect: true"),
        "declare it again, with `protect: false` and `count: 0`": spec_of(EMPTY),
    }
    go = world.apply if verb == "apply" else world.destroy
    for words, refused in refused_with.items():
        await world.apply(task_spec(count="2", extra="        protect: true"))
        with pytest.raises(BlockedError, match=f"protected, .*if that is meant, {words}"):
            await go(refused)
        assert (await go(accepted)).is_success
        assert world.machines() == []


EMPTY = "version: 1\nname: stack\napps: {app: {tasks: {}}}"


async def test_where_names_are_not_unique_the_next_apply_removes_a_duplicate_and_the_busy_one_stays() -> None:
    settings = Settings(behaviour=Behaviour(enforces_names=False))

    async with open_world(settings) as world:
        spec = task_spec("[run, '500']", count="2")
        await world.apply(spec)
        duplicate = world.machines()[1]
        body = {"name": duplicate.name, "config": duplicate.config, "skip_launch": True}
        young = world.engine.create("app", body)
        await world.context.clock.sleep(1)
        await world.engine.start_machine("app", young.id, None)
        plan = await world.plan(spec)
        assert [(change.action, change.machine_id) for change in plan.effective] == [(Action.DESTROY, duplicate.id)]
        assert (await world.apply(spec)).is_success
        assert [machine.id for machine in world.machines() if machine.name == duplicate.name] == [young.id]
        assert not (await world.plan(spec)).has_changes


async def test_a_lost_reply_to_a_create_makes_no_duplicate_even_where_names_are_not_unique() -> None:
    settings = Settings(behaviour=Behaviour(enforces_names=False), latency=Latency(list_lag_s=1.0))

    async with open_world(settings) as world:
        world.transport.before = lambda _request: world.assert_unique_names()
        world.engine.faults.add("lose_reply", calls=("create",), after=1, times=3)
        assert (await world.apply(task_spec(count="5"))).is_success
        await world.context.clock.sleep(5)
        assert len(world.machines()) == 5


async def test_waiting_for_a_busy_slot_changes_it_once_its_run_has_ended(world: World) -> None:
    await world.apply(task_spec("[run, '90']", count="2"))
    await world.invoke(task_spec("[run, '90']"), is_waiting=False)
    changed = task_spec("[exit, '1']", count="2")
    report = await world.apply(changed, wait_busy_s=600)
    assert report.is_success
    assert set(statuses(report).values()) == {Status.DONE}
    assert report.duration_s > 80
    assert not (await world.plan(changed)).has_changes
    assert any("waiting for 1 run in progress" in line for line in world.said)


async def test_someone_elses_lease_is_waited_for_and_its_holder_named(world: World) -> None:
    await world.apply(task_spec(count="1"))
    [machine] = world.machines()
    until = world.engine.clock.now().timestamp() + 40
    lease = Lease(nonce="x", expires_at=until, owner="bob@tokens.fly.io", description="", version="")
    world.engine.store.save(replace(machine, lease=lease))
    changed = task_spec("[exit, '1']", count="1")
    short = await world.apply(changed, lock_timeout_s=5)
    assert statuses(short) == {"work-iad-0": Status.FAILED}
    assert short.entries[0].reason is Reason.LOCK
    assert "bob@tokens.fly.io" in short.entries[0].detail
    assert (await world.apply(changed, lock_timeout_s=60)).is_success
    assert any("is leased by bob@tokens.fly.io until" in line for line in world.said)
    assert not (await world.plan(changed)).has_changes


async def test_a_failure_stops_what_depends_on_it_and_with_fail_fast_everything_new() -> None:
    async def scenario(*, is_failing_fast: bool) -> dict[str, Status]:
        async with open_world() as world:
            await world.apply(spec_of(TWO_POOLS.format(image=1)))
            world.engine.faults.add("host_capacity", calls=("update",), machine="first-iad-0")
            report = await world.apply(
                spec_of(TWO_POOLS.format(image=2)), is_failing_fast=is_failing_fast, parallelism=1
            )
            assert not report.is_success
            return statuses(report)

    assert await scenario(is_failing_fast=False) == {
        "first-iad-0": Status.FAILED,
        "first-iad-1": Status.SKIPPED,
        "second-iad-0": Status.DONE,
        "second-iad-1": Status.DONE,
    }
    assert set((await scenario(is_failing_fast=True)).values()) == {Status.FAILED, Status.SKIPPED}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"fault": "revert_update", "machine": "work-iad-1"}, "reverted"),
        ({"fault": "host_capacity", "calls": ("update",), "machine": "work-iad-1"}, "could not reserve resource"),
        ({"fault": "host_maintenance", "calls": ("update",), "machine": "work-iad-1"}, "temporarily disabled"),
    ],
    ids=lambda value: value["fault"] if isinstance(value, dict) else "",
)
async def test_an_update_that_does_not_hold_is_a_failure_with_its_cause(
    world: World, fault: dict[str, Any], words: str
) -> None:
    await world.apply(task_spec(count="3"))
    changed = task_spec("[exit, '1']", count="3")
    world.engine.faults.add(**fault)
    report = await world.apply(changed)
    assert not report.is_success
    assert statuses(report)["work-iad-1"] is Status.FAILED
    assert words in next(ended.detail for ended in report.entries if ended.slot.number == 1)
    assert [change.slot.name for change in (await world.plan(changed)).effective] == ["work-iad-1"]
    assert (await world.apply(changed)).is_success


@pytest.mark.world(Settings(latency=Latency(prepare_s=0.0)))
async def test_a_machine_that_settles_failed_is_no_success(world: World) -> None:
    world.engine.faults.add("unpullable", image="registry.example/app:1")
    report = await world.apply(task_spec(count="1", extra="        launch: true"))
    assert not report.is_success
    assert "settled in state failed" in report.mismatches[0]


async def test_a_machine_on_a_dead_host_is_said_and_neither_changed_nor_doubled(world: World) -> None:
    await world.apply(task_spec(count="3"))
    world.engine.faults.add("host_unreachable", machine="work-iad-1")
    before = len(world.transport.requests)
    changed = task_spec("[exit, '1']", count="3")
    report = await world.apply(changed)
    assert set(statuses(report)) == {"work-iad-0", "work-iad-2"}
    assert any("cannot be observed" in warning for warning in report.plan.warnings)
    dark = next(machine for machine in world.machines() if machine.name == "work-iad-1")
    assert not [line for line in world.transport.requests[before:] if dark.id in line and "GET" not in line]
    world.transport.relent()
    assert (await world.apply(changed)).is_success
    assert not (await world.plan(changed)).has_changes


@pytest.mark.parametrize(
    ("description", "who", "alive", "is_dead"),
    [
        (describe("apply", "0" * 26, "me@host pid 7 in here"), "me@host", set(), True),
        (describe("apply", "0" * 26, "me@host pid 7 in here"), "me@host", {7}, False),
        (describe("apply", "0" * 26, "me@host pid 7 in here"), "you@host", set(), False),
        (describe("apply", "0" * 26, "me@host pid 7 in elsewhere"), "me@host", set(), False),
        (describe("apply", "0" * 26, "me@host pid 7"), "me@host", set(), False),
        (describe("apply", "0" * 26, "https://ci.example/run/7"), "me@host", set(), False),
        ("by hand", "me@host", set(), False),
        ("", "me@host", set(), False),
    ],
)
def test_only_a_process_of_ours_that_is_no_more_is_provably_dead(
    description: str, who: str, alive: set[int], is_dead: bool
) -> None:
    holder = parse_holder(description)
    assert is_provably_dead(holder, who=who, space="here", is_alive=alive.__contains__) is is_dead
    assert not is_provably_dead(holder, who=who, space=None, is_alive=alive.__contains__)


async def test_a_name_that_someone_else_took_meanwhile_is_not_ours(world: World) -> None:
    await world.apply(task_spec(count="1"))
    spec = task_spec(count="2")
    plan = await world.plan(spec)
    theirs = world.engine.create("app", {"name": "work-iad-1", "config": {"image": "x"}, "skip_launch": True})
    report = await apply(world.context, spec, plan)
    assert statuses(report) == {"work-iad-1": Status.FAILED}
    assert "does not own" in report.entries[0].detail
    kept = world.engine.store.machine(theirs.id)
    assert kept
    assert kept.config == {"image": "x"}


@pytest.mark.parametrize("count", ["2", "1"])
async def test_a_run_that_begins_after_the_plan_is_let_finish(world: World, count: str) -> None:
    before = task_spec("[run, '1000']", count="2")
    await world.apply(before)
    await world.context.clock.sleep(1)
    after = task_spec("[run, '1001']", count=count)
    plan = await world.plan(after)
    assert not any(change.deferred for change in plan.effective)
    running = next(machine for machine in world.machines() if machine.name == "work-iad-1")
    await world.engine.start_machine("app", running.id, None)
    report = await apply(world.context, after, plan)
    assert statuses(report)["work-iad-1"] is Status.DEFERRED
    now = world.engine.store.machine(running.id)
    assert now
    assert (now.state, now.instance_id) == ("started", running.instance_id)


async def test_a_write_is_not_sent_once_the_lease_may_be_over(world: World) -> None:
    """A process that was frozen past its lease does nothing more to the machine, even where the server would let it."""
    await world.apply(task_spec(count="1"))
    [machine] = world.machines()
    async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=30) as lease:
        lease.guard()
        world.engine.faults.add("late_reply", calls=("lease",), seconds=1000.0, times=ALWAYS)
        await world.context.clock.sleep(40)
        with pytest.raises(LeaseLostError):
            lease.guard()


async def test_a_lease_is_kept_for_as_long_as_the_work_takes_and_given_back(world: World) -> None:
    await world.apply(task_spec(count="1"))
    [machine] = world.machines()
    async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=30) as lease:
        await world.context.clock.sleep(200)
        lease.guard()
        held = world.engine.leases.current(world.machines()[0])
        assert held
        assert held.description.startswith("reconciler apply ")
        assert held.description.endswith(" tester")
    assert world.engine.leases.current(world.machines()[0]) is None


async def test_a_lost_reply_to_a_lease_is_not_settled_by_someone_elses_lease(world: World) -> None:
    await world.apply(task_spec(count="1"))
    [machine] = world.machines()
    world.engine.faults.add("lose_request", calls=("lease",))
    world.engine.faults.add("steal_lease", calls=("get_lease",))
    with pytest.raises(ApiError) as caught:
        async with hold_lease(world.context, "app", machine.id, verb="apply", ttl_s=30):
            pytest.fail("it is someone else's")
    assert caught.value.kind is ApiErrorKind.LEASE_HELD


async def test_a_machine_that_lost_our_marks_since_the_plan_is_not_destroyed(world: World) -> None:
    await world.apply(task_spec(count="2"))
    less = task_spec(count="1")
    plan = await world.plan(less)
    machine = world.machines()[1]
    world.engine.set_metadata("app", machine.id, {marks.STACK: "another"})
    report = await apply(world.context, less, plan)
    assert statuses(report) == {"work-iad-1": Status.FAILED}
    assert len(world.machines()) == 2


async def test_what_was_changed_since_the_plan_is_not_overwritten(world: World) -> None:
    await world.apply(task_spec(count="1"))
    await world.context.clock.sleep(1)
    changed = task_spec("[exit, '1']", count="1")
    plan = await world.plan(changed)
    [machine] = world.machines()
    config = machine.config | {"env": {"BY": "hand"}}
    await world.engine.update("app", machine.id, {"config": config}, None)
    await world.context.clock.sleep(1)
    report = await apply(world.context, changed, plan)
    assert statuses(report) == {"work-iad-0": Status.FAILED}
    assert world.machines()[0].config["env"] == {"BY": "hand"}


@pytest.mark.parametrize("is_empty", [False, True])
async def test_an_empty_list_is_believed_only_where_the_app_has_no_machines(world: World, is_empty: bool) -> None:
    await world.apply(task_spec(count="2"))
    if is_empty:
        await world.apply(spec_of(EMPTY))
        await world.context.clock.sleep(1)
    world.engine.faults.add("empty_list", calls=("list",), times=2)
    before = len(world.transport.requests)
    if is_empty:
        assert (await world.apply(task_spec(count="2"))).is_success
        return
    with pytest.raises(BlockedError, match="cannot be believed"):
        await world.apply(task_spec(count="3"))
    assert {line.split()[0] for line in world.transport.requests[before:]} == {"GET"}


async def test_a_list_that_was_empty_once_is_asked_for_again(world: World) -> None:
    """Another apply may have made the machines between the list and the look at the app."""
    await world.apply(task_spec(count="2"))
    world.engine.faults.add("empty_list", calls=("list",))
    report = await world.apply(task_spec(count="3"))
    assert [entry.slot.number for entry in report.entries] == [2]
