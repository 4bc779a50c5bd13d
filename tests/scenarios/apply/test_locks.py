"""Someone else's leases: a pool's anchor is told first, or nothing of the pool is changed; a lock is no success."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.apply.apply import apply
from reconciler.apply.options import Options
from reconciler.engine.faults.rules import ALWAYS
from reconciler.engine.models import Lease
from reconciler.model import marks
from reconciler.model.report import Entry, Reason, Report, Status
from reconciler.model.revision import numbered
from reconciler.model.spec import Spec
from reconciler.slots.lease_description import describe
from tests.support.world import World, app_text, open_world, spec_of, task_spec

HOLDER = describe("invoke", "0" * 26, "carol@build-7 pid 12")


def spec(seconds: int, count: str = "3", extra: str = "") -> Spec:
    return task_spec(f"[run, '{seconds}']", count=count, extra=extra)


def lock(world: World, name: str, *, for_s: float = 3600.0, description: str = HOLDER) -> None:
    """Lets someone else hold a lease on the machine."""
    machine = next(one for one in world.machines() if one.name == name)
    until = world.engine.clock.now().timestamp() + for_s
    lease = Lease(nonce="x", expires_at=until, owner="bob@tokens.fly.io", description=description, version="")
    world.engine.store.save(replace(machine, lease=lease))


async def start(world: World, name: str) -> None:
    machine = next(one for one in world.machines() if one.name == name)
    await world.engine.start_machine("app", machine.id, None)
    await world.context.clock.sleep(1)


def want_of(world: World, name: str) -> str:
    machine = next(one for one in world.machines() if one.name == name)
    return marks.parse_want(machine.config["metadata"][marks.WANT]).digest


def applied(world: World) -> dict[str, str]:
    return {one.name: one.config["metadata"][marks.APPLIED] for one in world.machines()}


def ends(report: Report) -> dict[str, tuple[Status, Reason | None]]:
    return {ended.slot.name: (ended.status, ended.reason) for ended in report.entries}


def detail(report: Report, name: str) -> str:
    return next(ended.detail for ended in report.entries if ended.slot.name == name)


LOCKED = {
    "work-iad-0": (Status.FAILED, Reason.LOCK),
    "work-iad-1": (Status.SKIPPED, Reason.LOCK),
    "work-iad-2": (Status.SKIPPED, Reason.LOCK),
}


@pytest.mark.parametrize("is_running", [False, True], ids=["at rest", "with a run"])
@pytest.mark.parametrize("count", ["3", "2"], ids=["as many", "shrinks"])
async def test_while_the_anchor_is_locked_nothing_of_its_pool_is_changed(
    world: World, is_running: bool, count: str
) -> None:
    await world.apply(spec(1000))
    await world.context.clock.sleep(1)
    if is_running:
        await start(world, "work-iad-0")
    lock(world, "work-iad-0")
    before, began = world.machines(), world.context.clock.monotonic()
    report = await world.apply(spec(1001, count), lock_timeout_s=1)
    assert ends(report) == LOCKED
    assert not report.is_success
    assert world.machines() == before
    assert world.context.clock.monotonic() - began < 3
    for name in LOCKED:
        assert "bob@tokens.fly.io (`reconciler invoke` of carol@build-7) until 01:00:0" in detail(report, name)


@pytest.mark.parametrize("is_planned", [True, False], ids=["seen in the plan", "begun since"])
async def test_a_busy_anchor_is_told_before_any_other_slot_is_changed(world: World, is_planned: bool) -> None:
    """Else the next invoke would bring the others back to what the anchor still names."""
    await world.apply(spec(1000))
    await world.context.clock.sleep(1)
    old = want_of(world, "work-iad-0")
    order: list[str] = []

    def note(_request: Any) -> None:
        if want_of(world, "work-iad-0") != old and "want" not in order:
            order.append("want")
        if len(set(applied(world).values())) > 1 and "update" not in order:
            order.append("update")

    if is_planned:
        await start(world, "work-iad-0")
    else:
        world.engine.faults.add("foreign_start", calls=("lease",), machine="work-iad-0")
    world.transport.before = note
    report = await world.apply(spec(1001))
    assert report.is_success
    assert ends(report)["work-iad-0"] == (Status.DEFERRED, Reason.RUN)
    assert order == ["want", "update"]
    assert len(world.runtime.starts) == 1
    run = await world.invoke(spec(1001), is_waiting=False)
    assert run.slot
    assert world.runtime.starts[-1].commands[0].words == ("run", "1001")


async def test_where_the_anchor_cannot_be_told_nothing_of_its_pool_is_changed() -> None:
    async def scenario(fault: dict[str, Any]) -> Report:
        async with open_world() as world:
            await world.apply(spec(1000))
            await world.context.clock.sleep(1)
            await start(world, "work-iad-0")
            before = applied(world)
            world.engine.faults.add(calls=("metadata",), machine="work-iad-0", times=ALWAYS, **fault)
            report = await world.apply(spec(1001))
            assert applied(world) == before
            return report

    for fault in ({"fault": "unauthorized"}, {"fault": "server_error"}, {"fault": "lose_request"}):
        report = await scenario(fault)
        assert {status for status, _ in ends(report).values()} == {Status.FAILED, Status.SKIPPED}
        assert not report.is_success
        assert "could not be told what the pool should be" in detail(report, "work-iad-2")


async def test_a_pool_of_one_whose_busy_anchor_cannot_be_told_is_no_success(world: World) -> None:
    await world.apply(spec(1000, "1"))
    await world.context.clock.sleep(1)
    await start(world, "work-iad-0")
    lock(world, "work-iad-0")
    report = await world.apply(spec(1001, "1"), lock_timeout_s=1)
    assert ends(report) == {"work-iad-0": (Status.FAILED, Reason.LOCK)}


async def test_an_anchor_on_its_way_out_is_told_before_the_others_are_changed() -> None:
    """It stays the anchor until its run has ended."""

    async def scenario(*, is_locked: bool) -> None:
        async with open_world() as world:
            await world.apply(spec(1000, "{ams: 1, iad: 2}"))
            await world.context.clock.sleep(1)
            await start(world, "work-ams-0")
            if is_locked:
                lock(world, "work-ams-0")
            before = applied(world)
            report = await world.apply(spec(1001, "{iad: 2}"), lock_timeout_s=1)
            if is_locked:
                assert not report.is_success
                assert applied(world) == before
                return
            assert report.is_success
            assert want_of(world, "work-ams-0") == applied(world)["work-iad-0"] != before["work-iad-0"]
            run = await world.invoke(spec(1001, "{iad: 2}"), is_waiting=False)
            assert run.slot
            assert world.runtime.starts[-1].commands[0].words == ("run", "1001")

    await scenario(is_locked=False)
    await scenario(is_locked=True)


async def test_an_anchor_that_is_to_be_replaced_and_runs_is_told_too(world: World) -> None:
    def with_volumes(number: int) -> Spec:
        return task_spec(
            "[run, '1000']", count="1", extra=f"        config: {{mounts: [{{volume: vol_{number}, path: /d}}]}}"
        )

    world.add_volumes("vol_1", "vol_2")
    await world.apply(with_volumes(1))
    await world.context.clock.sleep(1)
    before = want_of(world, "work-iad-0")
    await start(world, "work-iad-0")
    report = await world.apply(with_volumes(2))
    assert ends(report) == {"work-iad-0": (Status.DEFERRED, Reason.RUN)}
    assert want_of(world, "work-iad-0") != before


async def test_what_was_announced_and_taken_back_is_no_longer_wanted() -> None:
    """The anchor was busy when another command was applied, and is as declared again once that is taken back."""

    async def scenario(count: str) -> None:
        async with open_world() as world:
            await world.apply(spec(50, count))
            await world.context.clock.sleep(1)
            await start(world, "work-iad-0")
            assert (await world.apply(spec(51, count))).is_success
            await world.context.clock.sleep(100)
            assert (await world.apply(spec(50, count))).is_success
            assert want_of(world, "work-iad-0") == applied(world)["work-iad-0"]
            for _ in range(int(count)):
                run = await world.invoke(spec(50, count), is_waiting=False)
                assert run.slot, run.outcome
                assert world.runtime.starts[-1].commands[0].words == ("run", "50")

    await scenario("1")
    await scenario("3")


TWO_TASKS = app_text("""
    tasks:
      a: {{command: [exit, '0']}}
      work: {{command: [run, '{}'], count: 3}}
""")


async def test_an_older_apply_does_not_announce_over_a_newer_one() -> None:
    """The highest revision stands on another machine: the anchor tells of the newer apply by what it wants alone."""

    def spec(seconds: int) -> Spec:
        return spec_of(TWO_TASKS.format(seconds))

    async def scenario(*, has_ended: bool) -> None:
        async with open_world() as world:
            await world.apply(spec(50), revision=numbered(1))
            await world.context.clock.sleep(1)
            await start(world, "work-iad-0")
            older = await world.plan(spec(51), revision=numbered(2))
            assert (await world.apply(spec(52), revision=numbered(3))).is_success
            newer = want_of(world, "work-iad-0")
            if has_ended:
                await world.context.clock.sleep(100)
                older = replace(older, changes=tuple(replace(one, deferred=None) for one in older.changes))
            report = await apply(world.context, spec(51), older, Options(revision=numbered(2)))
            assert not report.is_success
            assert want_of(world, "work-iad-0") == newer

    await scenario(has_ended=False)
    await scenario(has_ended=True)


async def test_a_claim_that_becomes_a_run_meanwhile_is_a_run_and_no_lock() -> None:
    async def scenario(*, for_s: float) -> Entry:
        async with open_world() as world:
            await world.apply(spec(1000, "2"))
            await world.context.clock.sleep(1)
            lock(world, "work-iad-1", for_s=for_s)
            applying = asyncio.create_task(world.apply(spec(1001, "2"), lock_timeout_s=20))
            await world.context.clock.sleep(5)
            machine = next(one for one in world.machines() if one.name == "work-iad-1")
            await world.engine.start_machine("app", machine.id, "x")
            report = await applying
            assert report.is_success
            return next(ended for ended in report.entries if ended.slot.number == 1)

    for for_s in (10.0, 3600.0):  # given back once the start is confirmed; or not yet
        ended = await scenario(for_s=for_s)
        assert (ended.status, ended.reason) == (Status.DEFERRED, Reason.RUN)


SERVICE = app_text("""
    services:
      web: {{command: [run, '100000'], env: {{V: '{}'}}}}
""")


async def test_a_lock_is_a_failure_whatever_was_to_be_done() -> None:
    """An update, a destroy and a replace of a task, an adoption, and a service's update and start."""

    async def failed(world: World, spec: Spec, name: str, **options: Any) -> None:
        lock(world, name)
        report = await world.apply(spec, lock_timeout_s=2, **options)
        assert ends(report)[name] == (Status.FAILED, Reason.LOCK)
        assert "carol@build-7" in detail(report, name)
        assert not report.is_success

    async with open_world() as world:
        await world.apply(spec(1))
        await failed(world, spec(2), "work-iad-2")
        await failed(world, spec(2, "2"), "work-iad-2")
    async with open_world() as world:
        world.add_volumes("vol_1")
        await world.apply(spec(1, "1"))
        mounted = spec(1, "1", extra="        config: {mounts: [{volume: vol_1, path: /data}]}")
        await failed(world, mounted, "work-iad-0")
    async with open_world() as world:
        world.engine.create_app("app", "personal")
        config = {"image": "by-hand", "init": {"cmd": ["exit", "9"]}}
        world.engine.create("app", {"name": "work-iad-0", "config": config, "skip_launch": True})
        await failed(world, spec(1), "work-iad-0", adopt=True)
    async with open_world() as world:
        await world.apply(spec_of(SERVICE.format(1)))
        await failed(world, spec_of(SERVICE.format(2)), "web-iad-0")
        world.engine.store.save(replace(world.machines()[0], lease=None))
        await world.engine.stop_machine("app", world.machines()[0].id, {}, None)
        await world.context.clock.sleep(10)
        await failed(world, spec_of(SERVICE.format(1)), "web-iad-0")


async def test_a_mark_that_cannot_be_written_is_told_and_no_success(world: World) -> None:
    """Nothing of a config changes: only the pool's protection is to be written, and a machine is locked."""
    await world.apply(spec(1))
    lock(world, "work-iad-1")
    began = world.context.clock.monotonic()
    report = await world.apply(spec(1, extra="        protect: true"), lock_timeout_s=1)
    [entry] = report.entries
    assert (entry.address, entry.status, entry.reason) == ("app/work/settings", Status.FAILED, Reason.LOCK)
    assert not report.is_success
    assert entry.detail.startswith("work-iad-1: machine ")
    assert "is leased by bob@tokens.fly.io" in entry.detail
    assert world.context.clock.monotonic() - began < 3


async def test_while_the_anchors_host_is_down_nothing_of_its_pool_is_changed() -> None:
    """Neither where it stays nor where its region has left the spec: it still names what invokes believe."""

    async def scenario(after: str) -> None:
        async with open_world() as world:
            await world.apply(spec(1000, "{ams: 1, iad: 2}"))
            await world.context.clock.sleep(1)
            world.engine.faults.add("host_unreachable", machine="work-ams-0")
            before = applied(world)
            report = await world.apply(spec(1001, after))
            assert {status for status, _ in ends(report).values()} == {Status.SKIPPED}
            assert "its host is down" in detail(report, "work-iad-1")
            assert applied(world) == before
            world.transport.relent()
            assert (await world.apply(spec(1001, after))).is_success

    await scenario("{ams: 1, iad: 2}")
    await scenario("{iad: 2}")
