"""A stack from asyncio code: the command's plans and hashes, exactly what was planned, and typed errors."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler import (
    Action,
    ApplyEvent,
    ApplyEventType,
    AsyncStack,
    BlockedError,
    OutcomeName,
    Report,
    Spec,
    StalePlanError,
    TargetError,
    UsageError,
    load_spec,
    plan_sha256,
    read_plan,
)
from reconciler.model.revision import numbered
from reconciler.model.secret import Secret
from reconciler.slots.context import Emit
from tests.support.world import TARGET, TOKEN, World, spec_of, task_spec

SPEC = task_spec("[say, hello, exit, '3']", count="2")


@pytest.fixture(autouse=True)
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """On virtual time a thread's end would never be seen."""

    async def call(work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)

    monkeypatch.setattr("asyncio.to_thread", call)


@asynccontextmanager
async def stack_in(world: World, spec: Spec = SPEC, *, emit: Emit | None = None) -> AsyncIterator[AsyncStack]:
    made = AsyncStack(
        spec,
        target=replace(TARGET, token=Secret(TOKEN)),
        environment={"RECONCILER_RESOLVE": "never"},
        emit=emit,
        clock=world.context.clock,
        transport=world.transport,
    )
    async with made as stack:
        yield stack


async def test_a_plan_is_applied_and_then_there_is_none(world: World) -> None:
    async with stack_in(world) as stack:
        plan = await stack.plan()
        assert plan_sha256(plan) == plan_sha256(await world.plan(SPEC))
        ended: list[str] = []
        report = await stack.apply(plan, on_end=lambda entry: ended.append(entry.address))
        assert report.is_success
        assert len(ended) == 2
        assert not (await stack.plan()).has_changes
        assert not (await stack.drift()).has_changes
        assert [slot.state for slot in (await stack.status()).slots] == ["created", "created"]


async def test_all_that_happens_is_told_from_the_plan_to_the_summary(world: World) -> None:
    async with stack_in(world) as stack:
        events: list[ApplyEvent] = []
        with pytest.raises(StalePlanError):
            await stack.apply(f"sha256:{'0' * 64}", no_revision=True, on_event=events.append)
        assert [one.type for one in events] == [ApplyEventType.PLANNED, ApplyEventType.SUMMARY]
        assert isinstance(events[-1].about, Report)
        assert not events[-1].about.is_success
        events.clear()
        report = await stack.apply(on_event=events.append)
        assert [one.type for one in events][:2] == [ApplyEventType.PLANNED, ApplyEventType.APP_CREATED]
        assert events[-1].type is ApplyEventType.SUMMARY
        assert events[-1].about == report
        assert {one.address for one in events if one.type is ApplyEventType.DONE} == {
            entry.address for entry in report.entries
        }
        destroyed = await stack.destroy(on_event=events.append)
        assert events[-1].about == destroyed


async def test_a_plan_that_has_moved_is_refused_before_the_first_write(world: World) -> None:
    async with stack_in(world) as stack:
        plan = await stack.plan()
        assert (await world.apply(task_spec(count="1"))).is_success
        before = world.machines()
        with pytest.raises(StalePlanError) as refused:
            await stack.apply(plan)
        assert refused.value.reasons
        assert world.machines() == before
        with pytest.raises(StalePlanError):
            await stack.apply(f"sha256:{'0' * 64}", revision=1)
        with pytest.raises(ValueError, match="contradict each other"):
            await stack.apply(plan, revision=1, no_revision=True)


async def test_a_hash_needs_a_revision_or_the_word_that_there_is_none(world: World) -> None:
    async with stack_in(world, replace(task_spec(), file="<text>")) as stack:
        approved = plan_sha256(await stack.plan())
        with pytest.raises(UsageError, match="pass revision=N, or no_revision=True"):
            await stack.apply(approved)
        assert (await stack.apply(approved, no_revision=True)).is_success
        assert (await stack.apply(approved, revision=3)).is_nothing_left


async def test_what_was_reviewed_of_an_older_revision_is_superseded(world: World, tmp_path: Path) -> None:
    async with stack_in(world) as stack:
        saved = await stack.save_plan(tmp_path / "plan.json", revision=1)
        plan = await stack.plan(revision=1)
        assert (await world.apply(task_spec(count="1"), revision=numbered(2))).is_success
        for reviewed in (plan, plan_sha256(plan), saved):
            report = await stack.apply(reviewed, revision=1)
            assert report.superseded_by == numbered(2)
            assert report.is_success
            assert report.entries == ()
        with pytest.raises(BlockedError, match="revision 2 was applied already"):
            await stack.apply(revision=1)
        assert len(world.machines()) == 1


async def test_nothing_is_left_of_a_saved_plan_that_was_applied(world: World, tmp_path: Path) -> None:
    async with stack_in(world) as stack:
        file = tmp_path / "plan.json"
        saved = await stack.save_plan(file)
        assert read_plan(file).plan_sha256 == saved.plan_sha256
        with pytest.raises(ValueError, match="do not go with a saved plan"):
            await stack.apply(saved, adopt=True)
        assert (await stack.apply(read_plan(file))).is_success
        again = await stack.apply(saved)
        assert again.is_success
        assert again.is_nothing_left


async def test_what_may_not_be_applied_is_a_blocked_error(world: World, tmp_path: Path) -> None:
    assert (await world.apply(task_spec(count="8"))).is_success
    async with stack_in(world, task_spec(count="1")) as stack:
        with pytest.raises(BlockedError, match="destroys 7 of 8: needs allow_destroy=7"):
            await stack.apply()
        saved = await stack.save_plan(tmp_path / "plan.json")
        assert read_plan(tmp_path / "plan.json").plan.blocked == saved.plan.blocked != ()
        with pytest.raises(BlockedError, match="needs allow_destroy=7"):
            await stack.apply(saved)
        allowed = await stack.plan(allow_destroy=7)
        assert plan_sha256(allowed) != saved.plan_sha256
        for reviewed in (allowed, saved.plan_sha256):
            with pytest.raises((BlockedError, StalePlanError)):
                await stack.apply(reviewed, allow_destroy=7 if reviewed is not allowed else 6, no_revision=True)
        assert len(world.machines()) == 8
        assert (await stack.apply(allowed)).is_success
        assert (await stack.release()).is_success
        assert len(world.machines()) == 1
        assert not (await stack.destroy()).entries
        assert (await stack.apply(adopt=True)).is_success
        assert (await stack.destroy()).is_success
        assert world.machines() == []


async def test_a_run_is_started_followed_and_found(world: World) -> None:
    async with stack_in(world) as stack:
        await stack.apply()
        run = await stack.invoke("work", key="k")
        assert repr(run) == f"AsyncRun(id={run.id!r}, state='running')"
        assert [line.message async for line in run.logs()] == ["hello"]
        outcome = await run.wait()
        assert (outcome.name, outcome.exit_code) == (OutcomeName.FAILED, 3)
        assert (await stack.invoke("work", key="k")).id == run.id
        later = world.context.clock.now() + timedelta(hours=1)
        for options, listed in (({}, [run.id]), ({"failed": True}, [run.id]), ({"since": later}, [])):
            assert [info.id for info in (await stack.runs("work", **options)).runs] == listed
        assert (await (await stack.find(run.id)).wait()).exit_code == 3
        with pytest.raises(UsageError, match="no task 'wrok'"):
            await stack.invoke("wrok")
        with pytest.raises(UsageError, match="no args of their own"):
            await stack.invoke("work", args=["x"])
        with pytest.raises(UsageError, match="no pool 'x'"):
            await stack.plan(only=["x"])


async def test_a_diff_is_what_an_apply_would_change_where_the_other_spec_was_applied(world: World) -> None:
    async with stack_in(world) as stack:
        assert [change.action for change in (await stack.diff(task_spec(count="1"))).effective] == [
            Action.UPDATE,
            Action.CREATE,
        ]
        old = spec_of("version: 1\nname: stack\napps: {app: {image: i, tasks: {gone: {command: [x]}}}}\n")
        assert [change.slot.pool for change in (await stack.diff(old, only=["gone"])).effective] == ["gone"]
        with pytest.raises(UsageError, match="no pool 'x'"):
            await stack.diff(old, only=["x"])
        assert world.transport.requests == []


async def test_unlock_tells_who_holds_what_is_not_ours(world: World) -> None:
    async with stack_in(world) as stack:
        await stack.apply()
        [machine, _other] = world.machines()
        await world.context.client.leases.acquire("app", machine.id, ttl_s=60, description="someone else")
        found = await stack.unlock()
        assert [(one.app, one.machine, one.machine_id, one.holder) for one in found.leases] == [
            ("app", "work-iad-0", machine.id, "someone else")
        ]
        assert [one.is_released for one in found.leases] == [False]
        assert found.failures == ()


def test_a_file_is_read_in_the_environment_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "machines.yaml").write_text("version: 1\nname: ${NAME}\napps: {app: {image: i}}\n")
    assert load_spec(tmp_path / "machines.yaml", environment={"NAME": "mine"}).stack == "mine"
    stack = AsyncStack.from_file(tmp_path / "machines.yaml", environment={"NAME": "mine"})
    assert stack.spec.stack == "mine"


async def test_what_a_callback_raises_is_logged_and_changes_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_value: object) -> None:
        raise ZeroDivisionError("in a callback")

    async with stack_in(world, emit=fail) as stack:
        report = await stack.apply(on_end=fail)
        assert report.is_success, report
        assert (await (await stack.invoke("work")).wait()).exit_code == 3
    said = {record.getMessage().partition(" ")[0] for record in caplog.records if record.name == "reconciler"}
    assert said == {"emit", "on_end"}
    assert "ZeroDivisionError: in a callback" in caplog.text


async def test_what_ends_the_program_ends_the_call(world: World) -> None:
    class Left(BaseException):
        """Neither SystemExit nor KeyboardInterrupt, which would end the test's own loop."""

    def leave(_value: object) -> None:
        raise Left

    async with stack_in(world) as stack:
        with pytest.raises(Left):
            await stack.apply(on_end=leave)
        assert (await stack.apply(lock_timeout_s=0)).is_success


async def test_a_stack_that_was_closed_is_opened_again(world: World) -> None:
    async with stack_in(world) as stack:
        await stack.apply()
    assert not (await stack.plan()).has_changes
    await stack.aclose()
    await stack.aclose()


async def test_a_target_that_cannot_be_used_is_told_at_the_first_call() -> None:
    async with AsyncStack(SPEC, environment={"FLY_CONFIG_DIR": "/nowhere"}) as stack:
        with pytest.raises(TargetError, match="no token"):
            await stack.plan()


async def test_a_part_of_the_stack_is_planned_applied_and_destroyed(world: World) -> None:
    async with stack_in(world, task_spec(count="{iad: 1, ams: 1}")) as stack:
        assert (await stack.apply(regions=["ams"])).is_success
        assert [change.slot.region for change in (await stack.plan()).effective] == ["iad"]
        assert not (await stack.plan(exclude=["work"])).has_changes
        assert [row.slot for row in (await stack.status(regions=["ams"])).slots] == ["work-ams-0"]
        assert not (await stack.drift(regions=["ams"])).has_changes
        assert (await stack.destroy(exclude=["work"])).entries == ()
        assert [entry.slot.name for entry in (await stack.destroy(regions=["ams"])).entries] == ["work-ams-0"]
        with pytest.raises(UsageError, match="no region 'fra'"):
            await stack.plan(regions=["fra"])
        with pytest.raises(UsageError, match="named by both `only` and `exclude`"):
            await stack.plan(only=["work"], exclude=["work"])
        with pytest.raises(TypeError, match="regions must be a list of the names of regions, not"):
            await stack.plan(regions="ams")
        with pytest.raises(ValueError, match="does not go with only, exclude and regions"):
            await stack.destroy(delete_apps=True, regions=["ams"])


async def test_clones_are_destroyed_if_that_is_asked_for(world: World, tmp_path: Path) -> None:
    async with stack_in(world) as stack:
        await stack.apply(no_revision=True)
        for name in ("one", "two"):
            body = {"name": name, "skip_launch": True, "config": dict(world.machines()[-1].config)}
            world.engine.create("app", body)
        assert not (await stack.plan()).has_changes
        assert len((await stack.plan(prune_clones=True, only=["work"])).effective) == 2
        saved = await stack.save_plan(tmp_path / "saved", prune_clones=True)
        with pytest.raises(ValueError, match="prune_clones"):
            await stack.apply(saved, prune_clones=True)
        assert (await stack.apply(saved, no_revision=True)).is_success
        assert not {"one", "two"} & {machine.name for machine in world.machines()}
