"""How long an apply is said to take, against how long it takes."""

import pytest

from reconciler.apply.eta import Forecast
from reconciler.apply.executor import Stop
from reconciler.engine.faults.settings import Settings
from reconciler.model.change import Action
from reconciler.model.report import Entry, Status
from tests.support.changes import change, ended
from tests.support.world import World, task_spec


def test_creations_take_the_platforms_pause_each_less_the_burst() -> None:
    forecast = Forecast([change(number) for number in range(10)], creation_pause_s=1.0, began=0.0)
    assert forecast.left_s(0.0) == 7.0
    for number in range(5):
        forecast.count(ended(number))
    assert forecast.left_s(2.0) == 5.0


def test_apps_go_on_side_by_side_so_the_longest_counts() -> None:
    changes = [change(number, app=app) for app, count in (("a", 4), ("b", 20)) for number in range(count)]
    assert Forecast(changes, creation_pause_s=1.0, began=0.0).left_s(0.0) == 17.0


def test_without_a_pace_the_time_so_far_tells() -> None:
    forecast = Forecast([change(number, Action.UPDATE) for number in range(10)], creation_pause_s=0.0, began=100.0)
    assert forecast.left_s(100.0) is None
    for number in range(4):
        forecast.count(ended(number, Action.UPDATE))
    assert forecast.left_s(120.0) == 30.0


def test_what_is_deferred_is_not_waited_for_and_at_the_end_nothing_is_left() -> None:
    forecast = Forecast([change(0), change(1, deferred="busy")], creation_pause_s=1.0, began=0.0)
    assert forecast.total == 1
    forecast.count(ended(1, status=Status.DEFERRED))
    assert (forecast.done, forecast.total) == (0, 1)
    forecast.count(ended(0))
    assert (forecast.done, forecast.total) == (1, 1)
    assert forecast.left_s(1.0) is None
    forecast.count(ended(1))
    assert (forecast.done, forecast.total) == (2, 2)


def test_what_had_to_be_deferred_after_all_is_counted_again_when_it_is_done() -> None:
    forecast = Forecast([change(0)], creation_pause_s=1.0, began=0.0)
    forecast.count(ended(0, status=Status.DEFERRED))
    forecast.count(ended(0))
    assert (forecast.done, forecast.total) == (2, 2)


@pytest.mark.world(Settings(limits_rates=True), paced=True)
async def test_an_apply_takes_as_long_as_was_said(world: World) -> None:
    clock = world.context.clock
    spec = task_spec(count="50")
    plan = await world.plan(spec)
    forecast = Forecast(plan.effective, creation_pause_s=world.context.client.creation_pause_s, began=clock.monotonic())
    said = [forecast.left_s(clock.monotonic())]
    at = [clock.monotonic()]

    def count(entry: Entry) -> None:
        forecast.count(entry)
        said.append(forecast.left_s(clock.monotonic()))
        at.append(clock.monotonic())

    await world.apply(spec, on_end=count, stop=Stop())
    for left_s, moment in zip(said[:-1], at[:-1], strict=True):
        assert left_s is not None
        assert abs(moment + left_s - at[-1]) <= 3.5
