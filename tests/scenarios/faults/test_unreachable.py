"""A host that is down: its machine is unreachable, by its marks or by its name, and neither changed nor made again."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from reconciler.apply.apply import apply
from reconciler.errors import UnobservedError
from reconciler.invoke.claim_request import Claim
from reconciler.invoke.invoke import InvokeOptions, begin
from reconciler.invoke.pool_cache import KnownPool
from reconciler.invoke.runs import find_run, list_runs
from reconciler.machines_api.observe import observe
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import HostStatus, Machine, MachineState, Observed, ObservedApp
from reconciler.model.plan import Plan
from reconciler.model.report import Status
from reconciler.model.run import NeverStarted, Outcome, OutcomeName
from reconciler.model.selection import Selection
from reconciler.model.spec import Spec
from reconciler.operations.status import rows_of
from reconciler.planner.drift import only_drift, with_drift
from reconciler.planner.hashes import plan_sha256
from reconciler.planner.planner import plan
from reconciler.render.closing import closing_line
from reconciler.render.json import json_text, plan_json
from reconciler.render.report import problems, report_json, report_text
from reconciler.render.runs import runs_json
from tests.support.world import World, spec_of, task_spec

APPLIED = task_spec(count="3")
CHANGED = task_spec("[exit, '1']", count="3")
EMPTIED = replace(
    APPLIED, apps=tuple(replace(app, pools=tuple(replace(p, counts={}) for p in app.pools)) for app in APPLIED.apps)
)


async def darkened(world: World, spec: Spec = APPLIED, name: str = "work-iad-1") -> None:
    await world.apply(spec)
    world.engine.faults.add("host_unreachable", machine=name)


def writes(world: World, since: int, machine_id: str) -> list[str]:
    return [line for line in world.transport.requests[since:] if machine_id in line and not line.startswith("GET")]


@pytest.mark.parametrize("spec", [APPLIED, CHANGED], ids=["as declared", "changed"])
async def test_a_plan_counts_it_and_an_apply_ends_with_its_name(world: World, spec: Spec) -> None:
    await darkened(world)
    dark = next(machine for machine in world.machines() if machine.name == "work-iad-1")
    before = len(world.transport.requests)
    found = await world.plan(spec)
    assert [one.slot.name for one in found.unreachable] == ["work-iad-1"]
    assert found.foreign == ()
    assert "1 unreachable" in closing_line(found)
    assert not found.is_settled
    report = await world.apply(spec)
    assert not report.is_success
    assert all(entry.status is Status.DONE for entry in report.entries)
    assert "app/work-iad-1: unreachable" in report_text(report)
    assert any("app/work-iad-1: unreachable" in line for line in problems(report))
    assert report_json(report)["unreachable"] == ["app/work-iad-1"]
    assert not writes(world, before, dark.id)
    assert len(world.machines()) == 3
    world.transport.relent()
    assert (await world.apply(spec)).is_success
    assert (await world.plan(spec)).is_settled


async def test_a_destroy_leaves_it_and_says_so(world: World) -> None:
    await darkened(world)
    found = await world.plan(EMPTIED, allow_destroy=10)
    assert [one.slot.address for one in found.unreachable] == ["app/work-iad-1"]
    report = await world.apply(EMPTIED, force=True)
    assert not report.is_success
    assert [machine.name for machine in world.machines()] == ["work-iad-1"]
    world.transport.relent()
    assert (await world.apply(EMPTIED, force=True)).is_success
    assert world.machines() == []


async def test_a_run_that_is_waited_for_is_waited_for_all_the_same(world: World) -> None:
    spec = task_spec("[run, '90']", count="2")
    await darkened(world, spec)
    await world.invoke(spec, is_waiting=False)
    report = await world.apply(task_spec("[exit, '1']", count="2"), wait_busy_s=600)
    assert [entry.status for entry in report.entries] == [Status.DONE]
    assert not report.is_success


async def test_drift_and_status_and_runs_use_the_word(world: World) -> None:
    await darkened(world)
    for found in (with_drift(await world.plan(APPLIED)), only_drift(await world.plan(APPLIED))):
        assert [one.slot.name for one in found.unreachable] == ["work-iad-1"]
    seen = await observe(world.context.client, ["app"], clock=world.context.clock)
    rows = {row.slot: row for row in rows_of(APPLIED, seen)}
    assert [rows[f"work-iad-{number}"].state for number in range(3)] == ["created", "unreachable", "created"]
    assert rows["work-iad-1"].pool == "work"
    assert "foreign" not in rows["work-iad-1"].note
    [emptied] = [row for row in rows_of(EMPTIED, seen) if row.slot == "work-iad-1"]
    assert (emptied.state, emptied.pool) == ("unreachable", "work")
    await list_runs(world.context, "app", stack="stack")
    assert "app/work-iad-1 is unreachable: its host is down, so its runs are not known" in world.said
    with pytest.raises(UnobservedError, match="unreachable"):
        await find_run(world.context, "app", "work-iad-1/01", stack="stack")


async def test_a_host_that_goes_down_after_the_plan_is_not_written_to(world: World) -> None:
    await world.apply(APPLIED)
    less = task_spec("[exit, '1']", count="1")
    made = await world.plan(less, allow_destroy=10)
    world.engine.faults.add("host_unreachable", machine="work-iad-2")
    report = await apply(world.context, less, made)
    assert not report.is_success
    assert "work-iad-2" in {machine.name for machine in world.machines()}


def machine(name: str, metadata: dict[str, str] | None, *, is_dark: bool = True, id: str = "1") -> Machine:
    config: dict[str, Any] = {"image": "registry.example/app:1"} | ({"metadata": metadata} if metadata else {})
    return Machine(
        app="app",
        id=id,
        name=name,
        state=MachineState.STOPPED,
        region="iad",
        version="1",
        config=MachineConfig(document=config) if metadata is not None else None,
        host_status=HostStatus.UNKNOWN if is_dark else HostStatus.OK,
    )


def planned(*machines: Machine, spec: Spec = APPLIED) -> Plan:
    apps = {"app": ObservedApp(name="app", exists=True, machines=machines)}
    return plan(spec, Observed(apps=apps, at=datetime(2026, 1, 1, tzinfo=UTC)), adopt=True)


def owned(name: str, pool: str = "work", stack: str = "stack") -> dict[str, str]:
    return {marks.STACK: stack, marks.POOL: pool, marks.SLOT: name}


@pytest.mark.parametrize(
    ("name", "metadata", "is_ours"),
    [
        ("work-iad-1", None, True),
        ("work-iad-1", {}, True),
        ("work-iad-1", owned("work-iad-1"), True),
        ("work-iad-7", None, True),
        ("old-iad-0", owned("old-iad-0", "old"), True),
        ("old-iad-0", None, False),
        ("by-hand", None, False),
        ("work", None, False),
        ("work-iad-1", owned("work-iad-1", stack="other"), False),
        ("work-iad-1", owned("work-iad-0"), False),
    ],
)
def test_whose_it_is_say_its_marks_or_else_its_name(name: str, metadata: dict[str, str] | None, is_ours: bool) -> None:
    found = planned(machine(name, metadata))
    assert [one.slot.name for one in found.unreachable] == [name] * is_ours
    assert [one.name for one in found.foreign] == [name] * (not is_ours)
    assert name not in {change.slot.name for change in found.effective}
    others = {f"work-iad-{number}" for number in range(3)} - {name}
    assert {change.slot.name for change in found.effective} == others


def test_where_names_are_not_unique_the_machine_that_is_seen_is_the_slots() -> None:
    seen = machine("work-iad-1", owned("work-iad-1"), is_dark=False, id="2")
    found = planned(machine("work-iad-1", None), seen)
    assert next(change for change in found.changes if change.slot.name == "work-iad-1").machine_id == "2"
    assert [one.id for one in found.unreachable] == ["1"]


def test_it_is_in_the_json_and_not_in_the_hash() -> None:
    found = planned(machine("work-iad-1", None))
    document = json.loads(json_text(plan_json(found, plan_sha256=None, salt="s")))
    assert document["counts"]["unreachable"] == 1
    assert [one["address"] for one in document["unreachable"]] == ["app/work-iad-1"]
    assert plan_sha256(found) == plan_sha256(replace(found, unreachable=()))


def test_only_the_pools_that_are_asked_for() -> None:
    spec = spec_of("version: 1\nname: stack\napps: {app: {image: i, tasks: {a: {}, b: {}}}}")
    apps = {"app": ObservedApp(name="app", exists=True, machines=(machine("a-iad-0", None), machine("b-iad-0", None)))}
    found = plan(spec, Observed(apps=apps, at=datetime(2026, 1, 1, tzinfo=UTC)), selection=Selection(only=("b",)))
    assert [one.slot.name for one in found.unreachable] == ["b-iad-0"]


@pytest.mark.parametrize("kind", ["destroy", "update", "start"])
async def test_a_host_that_goes_down_under_the_lease_is_not_written_to(world: World, kind: str) -> None:
    text = "version: 1\nname: stack\napps: {app: {image: i, services: {web: {command: [run, '100000'], count: N}}}}"
    stays, less = spec_of(text.replace("N", "2")), spec_of(text.replace("N", "1"))
    wanted = {
        "destroy": less,
        "start": stays,
        "update": spec_of(text.replace("N", "2").replace("'100000'", "'200000'")),
    }

    await world.apply(stays)
    web = world.machines()[1]
    if kind == "start":
        await world.engine.stop_machine("app", web.id, {}, None)
    await world.context.clock.sleep(10)
    made = await world.plan(wanted[kind], allow_destroy=10)
    leased: list[str] = []

    def before(request: httpx.Request) -> None:
        path = request.url.path
        if request.method == "GET" and path.endswith(f"/machines/{web.id}") and leased:
            world.engine.faults.add("host_unreachable", machine=web.name)
        leased.extend([path] * (request.method == "POST" and path.endswith(f"{web.id}/lease")))

    world.transport.before = before
    report = await apply(world.context, wanted[kind], made)
    [ended] = [entry for entry in report.entries if entry.slot.name == "web-iad-1"]
    assert ended.status is Status.FAILED
    assert ended.detail == "unreachable: its host is down"


@pytest.mark.parametrize("key", [None, "K"])
async def test_an_invoke_of_a_pool_that_is_all_unreachable_says_so_and_a_later_one_runs(
    world: World, key: str | None
) -> None:
    await darkened(world, name="work-iad-*")
    began = world.context.clock.monotonic()
    known = KnownPool(app="app", pool="work", stack="stack")
    [pool] = APPLIED.tasks
    options = InvokeOptions(key=key)
    ended = await begin(world.context, pool, stack="stack", options=options, known=known)
    assert isinstance(ended, Outcome)
    assert (ended.name, ended.exit_code) == (OutcomeName.NEVER_STARTED, 121)
    assert "unreachable" in ended.message
    assert "work-iad-0, work-iad-1, work-iad-2" in ended.message
    assert ended.cause is NeverStarted.HOST
    assert world.context.clock.monotonic() - began < 5
    world.transport.relent()
    assert isinstance(await begin(world.context, pool, stack="stack", options=options, known=known), Claim)


async def test_runs_as_json_name_the_unreachable_machines(world: World) -> None:
    await darkened(world)
    unreachable: list[str] = []
    runs = await list_runs(world.context, "app", stack="stack", unreachable=unreachable)
    document = runs_json([run.info for run in runs], unreachable=unreachable)
    assert document["unreachable"] == ["app/work-iad-1"]
