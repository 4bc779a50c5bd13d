"""One invoke is one run, and its exit code is the task's: on a whole engine in process, on virtual time."""

import asyncio

import pytest

from reconciler.canonical.digest import digest_of
from reconciler.invoke.attach import claim_of, wait_run
from reconciler.invoke.claim_request import Claim
from reconciler.invoke.follow import follow, stop_run
from reconciler.invoke.invoke import InvokeOptions, OnBusy, invoke
from reconciler.invoke.runs import find_run
from reconciler.machines_api.logs import LogLine
from reconciler.model import marks
from reconciler.model.run import OutcomeName
from tests.support.faults import FAULTS, shape
from tests.support.world import World, open_world, task_spec

ENDS = {
    "[exit, '0']": (OutcomeName.SUCCEEDED, 0),
    "[exit, '7']": (OutcomeName.FAILED, 7),
    "[exit, '124']": (OutcomeName.FAILED, 124),
    "[exit, '256']": (OutcomeName.FAILED, 255),
    "[die, '9']": (OutcomeName.SIGNALLED, 137),
    "[run, '0.01', exit, '0']": (OutcomeName.SUCCEEDED, 0),
    "[run, '4000', exit, '3']": (OutcomeName.FAILED, 3),
}


@pytest.mark.parametrize("command", ENDS)
async def test_the_exit_code_is_the_tasks(world: World, command: str) -> None:
    spec = task_spec(command)
    await world.apply(spec)
    run = await world.invoke(spec)
    assert (run.outcome.name, run.outcome.exit_code) == ENDS[command]
    assert len(world.runtime.starts) == 1
    assert run.id
    assert run.slot
    assert run.started_at
    assert run.ended_at


async def test_a_code_above_255_is_told_by_every_later_look_too(world: World) -> None:
    spec = task_spec("[exit, '256']", count="1")
    await world.apply(spec)
    run = await world.invoke(spec)
    found = await find_run(world.context, run.app, run.id or "", stack=spec.stack)
    assert found
    info = await wait_run(world.context, found)
    for outcome in (run.outcome, found.info.outcome, info.outcome):
        assert outcome
        assert (outcome.exit_code, outcome.task_code) == (255, 256)
    keyed = [await world.invoke(spec, key="once") for _ in range(2)]
    assert [(one.outcome.exit_code, one.outcome.task_code) for one in keyed] == [(255, 256)] * 2
    assert keyed[0].id == keyed[1].id


async def test_an_end_that_is_shown_already_takes_no_task_and_no_call(world: World) -> None:
    spec = task_spec("[exit, '7']", count="1")
    await world.apply(spec)
    run = await world.invoke(spec)
    found = await find_run(world.context, run.app, run.id or "", stack=spec.stack)
    assert found
    world.transport.requests.clear()
    others = asyncio.all_tasks()
    following = asyncio.create_task(follow(world.context, claim_of(found), timeout_s=60.0, logs=None))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - others == set()  # it ended in its first step
    assert (following.result().outcome.exit_code, world.transport.requests) == (7, [])


async def test_its_output_is_streamed_in_order_and_only_its_own(world: World) -> None:
    words = "[say, one, run, '5', err, two, say, three, exit, '0']"
    spec = task_spec(words, count="1")
    await world.apply(spec)
    await world.invoke(spec)
    lines: list[LogLine] = []
    await world.invoke(spec, take_line=lines.append, log_delay_s=0.0)
    assert [(line.stream, line.message) for line in lines] == [
        ("stdout", "one"),
        ("stderr", "two"),
        ("stdout", "three"),
    ]


@pytest.mark.slow
async def test_many_invokes_share_no_machine_and_none_is_lost(world: World) -> None:
    spec = task_spec("[run, '7', exit, '5']", count="3")
    await world.apply(spec)
    runs = await asyncio.gather(*(world.invoke(spec, queue_timeout_s=3600.0) for _ in range(20)))
    assert {run.outcome.exit_code for run in runs} == {5}
    assert len({run.id for run in runs}) == 20
    assert len(world.runtime.starts) == 20
    assert world.runtime.most_at_once_on_a_machine == 1


@pytest.mark.parametrize(
    ("on_busy", "queue_timeout_s", "name", "code"),
    [
        (OnBusy.FAIL, 600.0, OutcomeName.BUSY, 120),
        (OnBusy.SKIP, 600.0, OutcomeName.SKIPPED, 0),
        (OnBusy.WAIT, 5.0, OutcomeName.BUSY, 120),
        (OnBusy.WAIT, 600.0, OutcomeName.SUCCEEDED, 0),
    ],
)
async def test_a_busy_pool(world: World, on_busy: OnBusy, queue_timeout_s: float, name: OutcomeName, code: int) -> None:
    spec = task_spec("[run, '60']", count="1")
    await world.apply(spec)
    await world.invoke(spec, is_waiting=False)
    run = await world.invoke(spec, on_busy=on_busy, queue_timeout_s=queue_timeout_s)
    assert (run.outcome.name, run.outcome.exit_code) == (name, code)
    assert len(world.runtime.starts) == (2 if name is OutcomeName.SUCCEEDED else 1)


async def test_a_run_past_its_timeout_is_stopped_then_killed(world: World) -> None:
    spec = task_spec("[stubborn, run, '4000']", extra="        timeout: 30s", count="1")
    await world.apply(spec)
    run = await world.invoke(spec)
    assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.TIMED_OUT, 124)
    assert run.started_at
    assert run.ended_at
    assert 30 <= (run.ended_at - run.started_at).total_seconds() < 40


async def test_before_the_first_apply_it_says_what_to_do(world: World) -> None:
    run = await world.invoke(task_spec())
    assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.REFUSED, 125)
    assert "apply" in (run.outcome.remedy or "")


async def test_a_deferred_slot_is_brought_up_to_date_before_it_runs_again(world: World) -> None:
    old, new = task_spec("[run, '50']", count="1"), task_spec("[exit, '9']", count="1")
    await world.apply(old)
    await world.invoke(old, is_waiting=False)
    assert (await world.apply(new)).is_success
    run = await world.invoke(new)
    assert run.outcome.exit_code == 9
    assert not (await world.plan(new)).has_changes


async def test_an_invoke_never_deploys_a_spec_that_was_not_applied(world: World) -> None:
    applied, other = task_spec("[exit, '1']", count="1"), task_spec("[exit, '2']", count="1")
    await world.apply(applied)
    assert (await world.invoke(other)).outcome.exit_code == 1


async def test_destroyed_while_it_runs_is_said_as_such(world: World) -> None:
    spec = task_spec("[run, '4000']", count="1")
    await world.apply(spec)
    going = asyncio.ensure_future(world.invoke(spec))
    await world.context.clock.sleep(60)
    [machine] = world.machines()
    await world.engine.destroy("app", machine.id, None, force=True)
    run = await going
    assert run.outcome.exit_code in {122, 137}


async def test_interrupted_in_the_queue_nothing_runs_and_after_the_start_the_run_goes_on(world: World) -> None:
    spec = task_spec("[run, '100']", count="1")
    await world.apply(spec)
    first, second = asyncio.Event(), asyncio.Event()
    [pool] = spec.tasks
    options = InvokeOptions()
    running = asyncio.ensure_future(invoke(world.context, pool, stack="stack", options=options, stop=first))
    await world.context.clock.sleep(10)
    queued = asyncio.ensure_future(invoke(world.context, pool, stack="stack", options=options, stop=second))
    await world.context.clock.sleep(10)
    first.set()
    second.set()
    assert (await running).outcome.name is OutcomeName.DETACHED
    assert (await queued).outcome.exit_code == 130
    assert [machine.state for machine in world.machines()] == ["started"]
    assert [machine.lease for machine in world.machines()] == [None]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_one_fault_anywhere_never_runs_twice_and_never_lies(fault: str) -> None:
    spec = task_spec("[run, '3', exit, '4']", count="1")

    async def count_requests() -> int:
        async with open_world() as world:
            await world.apply(spec)
            began = len(world.transport.requests)
            await world.invoke(spec)
            return len(world.transport.requests) - began

    async def scenario(position: int) -> None:
        async with open_world() as world:
            await world.apply(spec)
            world.transport.strike(fault, ahead=position)
            try:
                run = await world.invoke(spec)
            except Exception as error:  # the API failed: said, and at most one run was begun
                assert type(error).__name__ == "ApiError"  # noqa: PT017
            else:
                assert (run.outcome.exit_code, run.outcome.task_code) == (4, 4), run
            assert len(world.runtime.starts) <= 1

    for position in range(await count_requests()):
        await scenario(position)


async def test_the_calls_of_a_claim(world: World) -> None:
    spec = task_spec("[exit, '0']", count="1")
    await world.apply(spec)
    await world.context.clock.sleep(5)
    world.transport.requests.clear()
    await world.invoke(spec)
    calls = [shape(request).removeprefix("/apps/*") for request in world.transport.requests]
    machine = "/apps/*/machines/*"
    assert calls == [
        "GET /apps/*/machines",
        f"POST {machine}/lease",
        f"GET {machine}",
        f"POST {machine}/metadata/reconciler_r0",
        f"POST {machine}/start",
        f"GET {machine}",
        f"DELETE {machine}/lease",
        f"GET {machine}/wait",
        f"GET {machine}",
    ]


@pytest.mark.parametrize("count", ["1", "2"])
async def test_a_start_by_someone_who_heeds_no_lease_is_not_taken_for_ours(world: World, count: str) -> None:
    spec = task_spec("[run, '30', exit, '3']", count=count)
    await world.apply(spec)
    await world.context.clock.sleep(1)
    world.engine.faults.add("foreign_start", calls=("start",))
    run = await world.invoke(spec, queue_timeout_s=300.0)
    assert run.outcome.exit_code == 3
    assert len(world.runtime.starts) == 2
    machine = world.engine.store.machine(run.machine_id or "")
    assert machine
    starts = [event for event in machine.events if event.type == "start"]
    assert len(starts) == (2 if count == "1" else 1)
    assert world.runtime.most_at_once_on_a_machine == 1


async def test_a_deferred_machine_is_brought_to_the_applied_config_and_to_no_other(world: World) -> None:
    first, applied, other = (task_spec(f"[run, '30', exit, '{code}']", count="1") for code in (1, 2, 3))
    await world.apply(first)
    await world.invoke(first, is_waiting=False)
    assert (await world.apply(applied)).is_success
    await world.context.clock.sleep(60)
    before = world.machines()[0].config
    refused = await world.invoke(other)
    assert (refused.outcome.exit_code, refused.id) == (125, None)
    assert "reconciler apply" in (refused.outcome.remedy or "")
    assert world.machines()[0].config["init"] == before["init"]
    assert len(world.runtime.starts) == 1
    assert (await world.invoke(applied)).outcome.exit_code == 2
    assert not (await world.plan(applied)).has_changes


async def test_in_a_large_pool_too_it_is_said_at_once_that_an_apply_is_needed(world: World) -> None:
    first, applied, other = (task_spec(f"[exit, '{code}']", count="7") for code in (1, 2, 3))
    await world.apply(first)
    await world.context.clock.sleep(10)
    [pool] = applied.tasks
    anchor = world.machines()[0].id
    want = marks.Want(digest_of(pool.config)).to_text()
    await world.context.client.set_metadata("app", anchor, marks.WANT, want)
    began = world.context.clock.monotonic()
    refused = await world.invoke(other)
    assert (refused.outcome.exit_code, refused.id) == (125, None)
    assert "reconciler apply" in (refused.outcome.remedy or "")
    assert world.context.clock.monotonic() - began < 5


async def test_a_timeout_that_comes_late_does_not_end_the_next_run(world: World) -> None:
    spec = task_spec("[run, '30']", count="1")
    await world.apply(spec)
    await world.context.clock.sleep(1)
    first = await world.invoke(spec)
    await world.invoke(spec, is_waiting=False)
    machine = await world.context.client.get_machine("app", str(first.machine_id))
    newest, oldest = (event for event in machine.events if event.type == "start")
    claims = [Claim(run_ulid="", machine=machine, start=start) for start in (oldest, newest)]
    assert not await stop_run(world.context, claims[0])
    assert world.machines()[0].state == "started"
    assert await stop_run(world.context, claims[1])
    await world.context.clock.sleep(10)
    assert world.machines()[0].state == "stopped"
