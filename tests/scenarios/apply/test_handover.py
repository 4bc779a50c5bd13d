"""The pool's anchor leaves the spec: what it remembers outlives it, and there are never two anchors."""

import httpx
import pytest

from reconciler.invoke import key_room
from reconciler.model import marks
from reconciler.model.run import OutcomeName
from reconciler.model.spec import Spec
from tests.support.faults import after_requests, dying
from tests.support.world import World, open_world, task_spec


def spec(count: str, seconds: int = 30) -> Spec:
    return task_spec(f"[run, '{seconds}', exit, '3']", count=count)


BOTH, STAYS, ELSEWHERE = spec("{ams: 1, iad: 1}"), spec("{iad: 1}"), spec("{fra: 2}")
CHANGED = spec("{iad: 1}", seconds=20)


def anchors(world: World) -> list[str]:
    return [
        machine.name for machine in world.machines() if machine.config["metadata"].get(marks.ANCHOR) == machine.name
    ]


async def keyed_on_iad(world: World) -> str:
    """A run with a key that has ended on the machine that stays; its id."""
    await world.apply(BOTH)
    assert anchors(world) == ["work-ams-0"]
    await world.context.clock.sleep(10)
    world.engine.faults.add("host_capacity", calls=("start",), machine="work-ams-0", times=1)
    run = await world.invoke(BOTH, key="k")
    assert run.slot
    assert run.slot.region == "iad"
    await world.context.clock.sleep(60)
    return str(run.id)


async def ends_well(world: World, applied: Spec, run_id: str) -> None:
    """One anchor, which knows the key, and everything as declared."""
    assert len(anchors(world)) == 1
    assert not (await world.plan(applied)).has_changes
    starts = len(world.runtime.starts)
    again = await world.invoke(applied, key="k")
    assert (again.id, again.outcome.exit_code) == (run_id, 3)
    assert len(world.runtime.starts) == starts
    other = await world.invoke(applied, key="other")
    assert other.outcome.exit_code == 3


@pytest.mark.parametrize("after", [STAYS, CHANGED], ids=["only the region goes", "the command changes too"])
async def test_the_successor_knows_the_keys(world: World, after: Spec) -> None:
    run_id = await keyed_on_iad(world)
    report = await world.apply(after)
    assert report.is_success, report
    assert anchors(world) == ["work-iad-0"]
    await ends_well(world, after, run_id)


async def test_where_the_whole_pool_moves_a_key_is_lost_and_never_run_a_second_time(world: World) -> None:
    await keyed_on_iad(world)
    report = await world.apply(ELSEWHERE)
    assert report.is_success, report
    assert anchors(world) == ["work-fra-0"]
    starts = len(world.runtime.starts)
    run = await world.invoke(ELSEWHERE, key="k")
    assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.LOST, 122)
    assert len(world.runtime.starts) == starts
    assert not (await world.plan(ELSEWHERE)).has_changes


async def test_the_successor_knows_the_keys_that_had_to_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two moves, since what a cut-off one left on the successor must not hide what is newer."""
    monkeypatch.setattr(key_room, "MAX_KEYS", 1)
    monkeypatch.setattr(key_room, "_LEAST_KEYS", 0)

    await world.apply(BOTH)
    await world.context.clock.sleep(10)
    for key in ("first", "second", "third"):
        assert (await world.invoke(BOTH, key=key)).outcome.exit_code == 3
    for after in (STAYS, ELSEWHERE):
        report = await world.apply(after)
        assert report.is_success, report
        for key in ("first", "second", "third"):
            assert (await world.invoke(after, key=key)).outcome.exit_code in {3, 122}
    assert len(world.runtime.starts) == 3


async def test_what_a_cut_off_handover_left_on_the_successor_goes_with_the_next(world: World) -> None:
    await keyed_on_iad(world)
    successor = next(machine for machine in world.machines() if machine.name == "work-iad-0")
    stale = {f"{marks.KEY}{'0' * 16}": "stale", f"{marks.FINGERPRINTS}1_0": "AAAA"}
    for key, value in stale.items():
        await world.context.client.set_metadata("app", successor.id, key, value)
    assert (await world.apply(STAYS)).is_success
    assert not stale.keys() & world.machines()[0].config["metadata"].keys()


async def test_a_busy_anchor_stays_the_anchor_until_it_can_go(world: World) -> None:
    await world.apply(BOTH)
    await world.context.clock.sleep(10)
    run = await world.invoke(BOTH, key="k", is_waiting=False)
    assert run.slot
    assert run.slot.region == "ams"
    assert (await world.apply(STAYS)).is_success
    assert anchors(world) == ["work-ams-0"]
    assert (await world.invoke(STAYS, key="k")).id == run.id
    assert (await world.apply(STAYS)).is_success
    assert anchors(world) == ["work-iad-0"]
    assert (await world.invoke(STAYS, key="k")).outcome.exit_code == 122  # its machine is gone


async def request_count() -> int:
    async with open_world() as world:
        await keyed_on_iad(world)
        began = len(world.transport.requests)
        await world.apply(CHANGED)
        return len(world.transport.requests) - began


@pytest.mark.slow
async def test_killed_at_any_request_there_are_never_two_anchors_and_the_next_apply_makes_one() -> None:
    async def scenario(position: int) -> None:
        async with open_world() as world:
            run_id = await keyed_on_iad(world)
            is_sent, at_once = after_requests(position), set[int]()

            def is_last(request: httpx.Request) -> bool:
                at_once.add(len(anchors(world)))
                return is_sent(request)

            with dying(world.transport, is_last) as death:
                await world.apply(CHANGED)
            assert death.is_dead
            assert max(at_once) == 1
            keyed = await world.invoke(BOTH, key="k", queue_timeout_s=5.0)
            assert keyed.id in {run_id, None}
            await world.context.clock.sleep(120)
            assert (await world.apply(CHANGED)).is_success
            await ends_well(world, CHANGED, run_id)

    for position in range(await request_count()):
        await scenario(position)


@pytest.mark.parametrize("count", ["1", "2"])
async def test_an_anchor_whose_replace_was_cut_off_or_that_a_hand_destroyed_leaves_its_keys_to_the_next(
    world: World, count: str
) -> None:
    await world.apply(spec(count))
    await world.context.clock.sleep(10)
    first = await world.invoke(spec(count), key="k")
    assert first.outcome.exit_code == 3
    await world.context.clock.sleep(60)
    anchor = world.machines()[0]
    await world.engine.destroy("app", anchor.id, None, force=True)
    await world.context.clock.sleep(60)
    assert (await world.apply(spec(count, seconds=20))).is_success
    assert len(anchors(world)) == 1
    again = await world.invoke(spec(count, seconds=20), key="k")
    assert again.outcome.exit_code in {3, 122}
    assert len(world.runtime.starts) == 1
