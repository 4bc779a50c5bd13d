"""Keys and callers whose clocks are wrong: a later claim of a machine comes after an earlier one, whatever they say."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.invoke import key_room
from reconciler.model.run import Run
from reconciler.model.run_policy import Override
from reconciler.slots.context import new_ulid
from reconciler.slots.run_records import records_of
from tests.support.faults import at_start, dying
from tests.support.side_by_side import WrongClock, person
from tests.support.world import World, task_spec

EXTRA = "        args: [exit, '7']\n        overrides: {args: true}\n"
SPEC = task_spec("[run, '20']", count="2", extra=EXTRA)
OTHER = Override(args=("exit", "9"))


async def ready(world: World) -> None:
    await world.apply(SPEC)
    await world.context.clock.sleep(10)


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_run_is_not_taken_for_that_of_a_claim_that_died_before_it(world: World, hours: int) -> None:
    """Of both claims one has the clock that is ahead. They have the same fence."""
    await ready(world)
    wrong = person(world, "wrong", clock=WrongClock(hours))
    dead, next_one = (world, wrong) if hours < 0 else (wrong, world)
    with dying(world.transport, at_start):
        await dead.invoke(SPEC, key="K")
    await world.context.clock.sleep(40)
    one = await next_one.invoke(SPEC, key="L", is_waiting=False)
    again = await world.invoke(SPEC, key="L")
    assert again.id == one.id
    own = await world.invoke(SPEC, key="K")
    assert own.id != one.id
    assert len(world.runtime.starts) == 2


async def test_an_exit_is_not_taken_for_that_of_a_claim_that_died_before_its_run(world: World) -> None:
    """The update for its args is between both fences."""
    await ready(world)
    with dying(world.transport, at_start):
        await world.invoke(SPEC, key="K")
    await world.context.clock.sleep(40)
    slow = person(world, "slow", clock=WrongClock(-2))
    assert (await slow.invoke(SPEC, key="L", override=OTHER)).outcome.exit_code == 9
    assert (await world.invoke(SPEC, key="K")).outcome.exit_code == 7
    assert len(world.runtime.starts) == 2


async def test_a_run_whose_start_is_not_told_does_not_start_again_because_its_clock_was_slow(world: World) -> None:
    """Its machine has an older run, whose record says a later time."""
    await ready(world)
    before = await world.invoke(SPEC, key="before")
    first = await person(world, "slow", clock=WrongClock(-2)).invoke(SPEC, key="K", is_waiting=False)
    assert slot_of(first) == slot_of(before)
    world.transport.hidden = {"start"}
    second = await world.invoke(SPEC, key="K")
    assert (second.id, second.outcome.exit_code) == (first.id, 7)
    assert len(world.runtime.starts) == 2


@pytest.mark.parametrize("hours", [-30, 30])
@pytest.mark.parametrize("keys", [40, 1])
async def test_a_clock_that_is_wrong_by_a_day_makes_no_key_forgotten(
    world: World, hours: int, keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys are kept whole, or but for the last one by their fingerprints."""
    monkeypatch.setattr(key_room, "MAX_KEYS", keys)
    monkeypatch.setattr(key_room, "_LEAST_KEYS", 0)
    await ready(world)
    wrong = person(world, "wrong", clock=WrongClock(hours))
    for caller, key in ((world, "A"), (wrong, "B"), (world, "C"), (wrong, "D")):
        assert (await caller.invoke(SPEC, key=key)).outcome.exit_code == 7
    for key in "ABCD":
        assert (await world.invoke(SPEC, key=key)).outcome.exit_code in ({7} if keys == 40 else {7, 122})
    assert len(world.runtime.starts) == 4


async def test_the_oldest_record_goes_also_where_a_clock_was_ahead(world: World) -> None:
    spec = task_spec("[exit, '0']", count="1")
    await world.apply(spec)
    await world.context.clock.sleep(10)
    ahead = person(world, "ahead", clock=WrongClock(2))
    told = [(await ahead.invoke(spec)).id] + [(await world.invoke(spec)).id for _ in range(20)]
    [machine] = world.machines()
    kept = [record.ulid for record in records_of(machine.config["metadata"]).values()]
    assert sorted(kept) == [run_id.partition("/")[2] for run_id in told[-16:] if run_id]


def test_a_ulid_comes_after_another_one_whatever_the_clocks_say() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for other in (now + timedelta(hours=2), now, now - timedelta(hours=2)):
        earlier = new_ulid(other)
        later = new_ulid(now, after=earlier)
        assert earlier < later
        assert later < new_ulid(max(now, other) + timedelta(milliseconds=2))
    assert new_ulid(now - timedelta(seconds=1)) < new_ulid(now, after="z" * 26) < new_ulid(now + timedelta(seconds=1))


def slot_of(run: Run) -> str | None:
    return run.slot.name if run.slot else None
