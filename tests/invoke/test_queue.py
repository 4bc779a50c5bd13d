"""The pause before a try, so that not all ask at once for a machine that comes free; and what ends a wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.invoke.queue import OnBusy, pause_before_try, queue
from reconciler.model.run import Outcome, OutcomeName
from tests.support.claimants import claimant_of
from tests.support.world import World, task_spec

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.floats(0, 60), st.floats(0, 2), CHANCE)
def test_a_pause_is_short_and_never_nothing(round_trip_s: float, waited: float, chance: float) -> None:
    assert 0.05 <= pause_before_try(round_trip_s, waited=waited, chance=chance) <= 2.0


@given(st.floats(0, 60), st.floats(0, 1), st.floats(0, 1), CHANCE)
def test_who_has_waited_longer_pauses_no_longer(round_trip_s: float, one: float, other: float, chance: float) -> None:
    younger, older = sorted([one, other])
    assert pause_before_try(round_trip_s, waited=older, chance=chance) <= pause_before_try(
        round_trip_s, waited=younger, chance=chance
    )


def test_a_fast_api_is_asked_again_sooner() -> None:
    assert pause_before_try(0.02, waited=0, chance=0.5) == pytest.approx(0.1)
    assert pause_before_try(1.0, waited=0, chance=0.5) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("on_busy", "name", "took_s"),
    [(OnBusy.FAIL, OutcomeName.BUSY, 0), (OnBusy.SKIP, OutcomeName.SKIPPED, 0), (OnBusy.WAIT, OutcomeName.BUSY, 30)],
)
async def test_with_all_machines_busy_it_waits_only_if_it_should(
    world: World, on_busy: OnBusy, name: OutcomeName, took_s: float
) -> None:
    spec = task_spec("[run, '600', exit, '0']", count="1")
    await world.apply(spec)
    await world.invoke(spec, is_waiting=False)
    claimant, began = await claimant_of(world, spec), world.context.clock.monotonic()
    ended = await queue(claimant, on_busy=on_busy, queue_timeout_s=30)
    assert isinstance(ended, Outcome)
    assert ended.name is name
    assert "1 of 1 are busy: work-iad-0 (started)" in ended.message
    assert world.context.clock.monotonic() - began == pytest.approx(took_s, abs=1)


async def test_a_machine_that_comes_free_is_claimed_by_who_waits(world: World) -> None:
    spec = task_spec("[run, '60', exit, '0']", count="1")
    await world.apply(spec)
    first = await world.invoke(spec, is_waiting=False)
    second = await queue(await claimant_of(world, spec), on_busy=OnBusy.WAIT, queue_timeout_s=600)
    assert not isinstance(second, Outcome)
    assert second.machine.id == first.machine_id
