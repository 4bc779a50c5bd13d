"""Idempotency keys: one key, one execution, however many ask, whatever is lost, whoever dies."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.engine.faults.settings import LATENCIES, Behaviour, Settings
from reconciler.errors import ReconcilerError
from reconciler.invoke import key_room
from reconciler.invoke.key_marks import KeyedRun, parse_keyed
from reconciler.model import marks
from reconciler.model.run import Outcome, OutcomeName
from reconciler.testing.virtual_time import run_virtually
from tests.support.faults import FAULTS, DeadError
from tests.support.world import World, open_world, task_spec

SPEC = task_spec("[say, hello, run, '20', exit, '7']", count="3")
PATIENT = {"queue_timeout_s": 900.0}


async def ready(world: World) -> None:
    await world.apply(SPEC)
    await world.context.clock.sleep(10)


@pytest.mark.slow
@pytest.mark.parametrize("latency", ["small", "fly"])
@pytest.mark.parametrize("busy", [0, 1, 2])
async def test_ten_at_once_are_one_execution_and_ten_equal_ends(latency: str, busy: int) -> None:
    async with open_world(Settings(latency=LATENCIES[latency])) as world:
        await ready(world)
        for _ in range(busy):
            await world.invoke(SPEC, is_waiting=False)
        lines: list[str] = []

        def take(line: Any) -> None:
            lines.append(line.message)

        runs = await asyncio.gather(
            *(world.invoke(SPEC, key="K", take_line=take, log_delay_s=1.0, **PATIENT) for _ in range(10))
        )
        assert {run.outcome.exit_code for run in runs} == {7}
        assert len({run.id for run in runs}) == 1
        assert len(world.runtime.starts) == 1 + busy
        assert lines.count("hello") == 10
        later = await world.invoke(SPEC, key="K")
        assert (later.id, later.outcome.exit_code) == (runs[0].id, 7)
        other = await world.invoke(SPEC, key="another")
        assert other.id != runs[0].id
        assert len(world.runtime.starts) == 2 + busy


async def test_whoever_looks_between_the_key_and_the_start_attaches_to_the_run(world: World) -> None:
    """It sees the machine at rest, and then the start among its events: the run is not lost."""
    await ready(world)
    client = world.context.client
    start, events = client.start_machine, client.list_events
    is_announced, may_start = asyncio.Event(), asyncio.Event()

    async def start_late(*arguments: Any, **options: Any) -> Any:
        is_announced.set()
        await may_start.wait()
        return await start(*arguments, **options)

    async def tell_after_the_start(*arguments: Any, **options: Any) -> Any:
        may_start.set()
        while world.machines()[0].state != "started":
            await world.context.clock.sleep(0.1)
        return await events(*arguments, **options)

    client.start_machine = start_late  # type: ignore[method-assign]
    first = asyncio.create_task(world.invoke(SPEC, key="K"))
    await is_announced.wait()
    client.list_events = tell_after_the_start  # type: ignore[method-assign]
    second = await world.invoke(SPEC, key="K")
    assert (second.id, second.outcome.exit_code) == ((await first).id, 7)
    assert len(world.runtime.starts) == 1


async def request_count() -> int:
    async with open_world() as world:
        await ready(world)
        began = len(world.transport.requests)
        assert (await world.invoke(SPEC, key="K")).outcome.exit_code == 7
        return len(world.transport.requests) - began


REQUESTS = run_virtually(request_count())


def test_a_keyed_run_takes_as_few_calls_as_are_needed() -> None:
    assert REQUESTS <= 12


@pytest.mark.slow
@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "done two minutes later"])
async def test_a_fault_at_any_request_and_the_key_again_are_one_execution(fault: str) -> None:
    async def scenario(position: int) -> None:
        async with open_world() as world:
            await ready(world)
            world.transport.strike(fault, ahead=position)
            with suppress(ReconcilerError):
                await world.invoke(SPEC, key="K", **PATIENT)
            world.transport.relent()
            run = await world.invoke(SPEC, key="K", **PATIENT)
            assert run.outcome.exit_code == 7
            assert len(world.runtime.starts) == 1

    for position in range(REQUESTS):
        try:
            await scenario(position)
        except BaseException as error:
            error.add_note(f"{fault} at request {position} of {REQUESTS}")
            raise


async def killed_at(world: World, position: int, *, is_sent: bool, key: str) -> None:
    """A keyed invoke whose process dies at so many requests from now, before it is sent or right after."""
    at = len(world.transport.requests) + position
    reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    is_dead = False

    def before(_request: Any) -> None:
        nonlocal is_dead
        if is_dead:
            raise DeadError
        if len(world.transport.requests) > at:
            is_dead = True
            if not reached.done():
                reached.set_result(None)
            if not is_sent:
                raise DeadError

    world.transport.before = before
    invoking = asyncio.ensure_future(world.invoke(SPEC, key=key))
    ends: set[asyncio.Future[Any]] = {invoking, reached}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    is_dead = True
    invoking.cancel()
    with suppress(BaseException):
        await invoking
    world.transport.before = lambda _request: None


@pytest.mark.slow
@pytest.mark.parametrize("is_sent", [False, True])
async def test_killed_at_any_request_the_key_again_is_one_execution(is_sent: bool) -> None:
    async def scenario(position: int) -> None:
        async with open_world() as world:
            await ready(world)
            await killed_at(world, position, is_sent=is_sent, key="K")
            run = await world.invoke(SPEC, key="K", **PATIENT)
            assert run.outcome.exit_code == 7
            assert len(world.runtime.starts) == 1

    for position in range(REQUESTS):
        await scenario(position)


async def test_the_same_key_for_another_task_is_another_key_and_a_key_is_never_written(world: World) -> None:
    await ready(world)
    await world.invoke(SPEC, key="secret-key")
    anchor = next(one for one in world.machines() if one.config["metadata"][marks.ANCHOR] == one.name)
    [key] = [key for key in anchor.config["metadata"] if key.startswith(marks.KEY)]
    assert len(key) == len(marks.KEY) + 16
    assert "secret-key" not in str(world.engine.store.machine(anchor.id))


async def test_keys_outlive_changes_of_the_spec_and_a_run_that_is_no_longer_told_of_is_lost_not_repeated(
    world: World,
) -> None:
    spec = task_spec("[exit, '7']", count="1")
    await world.apply(spec)
    await world.context.clock.sleep(1)
    first = await world.invoke(spec, key="K")
    changed = task_spec("[exit, '8']", count="1")
    assert (await world.apply(changed)).is_success
    again = await world.invoke(changed, key="K")
    assert (again.id, again.outcome.exit_code) == (first.id, 7)
    for _ in range(17):
        await world.invoke(changed)
    gone = await world.invoke(changed, key="K")
    assert (gone.outcome.name, gone.outcome.exit_code) == (OutcomeName.LOST, 122)
    assert len(world.runtime.starts) == 18


@pytest.mark.slow
async def test_yesterdays_keys_and_too_many_are_forgotten(world: World) -> None:
    spec = task_spec("[exit, '0']", count="1")
    await world.apply(spec)
    await world.context.clock.sleep(1)
    for number in range(45):
        await world.invoke(spec, key=f"K{number}")
    [machine] = world.machines()
    keys = [key for key in machine.config["metadata"] if key.startswith(marks.KEY)]
    assert len(keys) == 40
    await world.context.clock.sleep(25 * 3600)
    await world.invoke(spec, key="today")
    [machine] = world.machines()
    assert len([key for key in machine.config["metadata"] if key.startswith(marks.KEY)]) == 1
    assert not (await world.plan(spec)).has_changes


@pytest.mark.slow
async def test_a_key_is_never_run_twice_within_a_day_however_many_others_there_were(world: World) -> None:
    spec = task_spec("[exit, '0']", count="2")
    await world.apply(spec)
    await world.context.clock.sleep(1)
    for number in range(50):
        assert (await world.invoke(spec, key=f"K{number}")).outcome.exit_code == 0
    for number in range(50):
        assert (await world.invoke(spec, key=f"K{number}")).outcome.exit_code in {0, 122}
    first = await world.invoke(spec, key="K0")
    assert (first.outcome.name, first.outcome.exit_code) == (OutcomeName.LOST, 122)
    assert "ran already, its end is no longer retained" in first.outcome.message
    assert "`reconciler runs work`" in (first.outcome.remedy or "")
    assert len(world.runtime.starts) == 50
    assert not (await world.plan(spec)).has_changes
    await world.context.clock.sleep(26 * 3600)
    assert (await world.invoke(spec, key="K0")).outcome.exit_code == 0
    assert len(world.runtime.starts) == 51


@pytest.mark.slow
async def test_the_key_of_a_run_without_an_end_is_kept_and_the_next_invoke_queues(world: World) -> None:
    spec = task_spec("[run, '5000', exit, '7']", count="41")
    await world.apply(spec)
    await world.context.clock.sleep(10)
    for number in range(40):
        await world.invoke(spec, key=f"K{number}", is_waiting=False)
    early = await world.invoke(spec, key="another", queue_timeout_s=30.0)
    assert (early.outcome.name, len(world.runtime.starts)) == (OutcomeName.BUSY, 40)
    late = await world.invoke(spec, key="another", queue_timeout_s=6000.0)
    assert late.outcome.exit_code == 7
    assert len(world.runtime.starts) == 41
    assert (await world.invoke(spec, key="K39")).outcome.exit_code == 7
    assert len(world.runtime.starts) == 41


@pytest.mark.slow
@pytest.mark.world(Settings(behaviour=replace(Behaviour(), metadata_limit_bytes=8192)))
async def test_without_room_to_remember_keys_a_keyed_invoke_is_refused_and_nothing_runs(world: World) -> None:
    notes = "".join(f"          note-{number}: {'n' * 180}\n" for number in range(15))
    spec = task_spec("[exit, '0']", count="1", extra=f"        metadata:\n{notes}")
    await world.apply(spec)
    await world.context.clock.sleep(1)
    outcomes: list[Outcome] = []
    while not outcomes or outcomes[-1].exit_code == 0:
        outcomes.append((await world.invoke(spec, key=f"K{len(outcomes)}")).outcome)
        await world.context.clock.sleep(60)
    assert (outcomes[-1].name, outcomes[-1].exit_code) == (OutcomeName.REFUSED, 125)
    assert "no room for another idempotency key" in outcomes[-1].message
    ran = len(outcomes) - 1
    assert len(world.runtime.starts) == ran > 20
    for number in range(ran):
        assert (await world.invoke(spec, key=f"K{number}")).outcome.exit_code in {0, 122}
    assert len(world.runtime.starts) == ran
    assert (await world.invoke(spec)).outcome.exit_code == 0  # one without a key needs no room


@pytest.mark.slow
@pytest.mark.parametrize("is_sent", [False, True])
async def test_killed_while_a_key_makes_place_for_another_neither_runs_twice(
    is_sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_room, "MAX_KEYS", 1)
    monkeypatch.setattr(key_room, "_LEAST_KEYS", 0)

    async def scenario(position: int) -> int:
        """How many requests were sent before it ended."""
        async with open_world() as world:
            await ready(world)
            assert (await world.invoke(SPEC, key="old")).outcome.exit_code == 7
            began = len(world.transport.requests)
            await killed_at(world, position, is_sent=is_sent, key="new")
            sent = len(world.transport.requests) - began
            assert (await world.invoke(SPEC, key="new", **PATIENT)).outcome.exit_code == 7
            assert (await world.invoke(SPEC, key="old", **PATIENT)).outcome.exit_code in {7, 122}
            assert len(world.runtime.starts) == 2
            return sent

    position = 0
    while await scenario(position) > position:
        position += 1
    assert position > REQUESTS


async def test_without_an_anchor_that_can_be_seen_a_keyed_invoke_is_refused(world: World) -> None:
    await ready(world)
    anchor = next(one for one in world.machines() if one.config["metadata"][marks.ANCHOR] == one.name)
    world.engine.faults.add("host_unreachable", machine=anchor.name)
    run = await world.invoke(SPEC, key="K")
    assert run.outcome.exit_code == 125
    assert world.runtime.starts == []
    assert (await world.invoke(SPEC)).outcome.exit_code == 7


@pytest.mark.parametrize("text", ["", "x", "a;b;c", "a;b;c;d", ";;;"])
def test_what_is_no_memory_of_a_key_is_none(text: str) -> None:
    assert parse_keyed(text) is None


def test_a_memory_survives_its_text() -> None:
    from datetime import UTC, datetime

    memory = KeyedRun(ulid="0" * 26, slot="work-iad-0", digest="d", at=datetime(2026, 1, 1, tzinfo=UTC))
    assert parse_keyed(memory.to_text()) == memory
