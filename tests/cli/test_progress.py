"""Progress in a pipe: what is expected, and how far it is now and then."""

import pytest

from reconciler.apply.eta import Forecast
from reconciler.cli.ui.progress import progress, spelled
from reconciler.testing.virtual_time import VirtualClock
from tests.support.changes import change, ended


async def test_in_a_pipe_it_says_what_is_expected_and_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    clock = VirtualClock()
    forecast = Forecast([change(number) for number in range(100)], creation_pause_s=1.0, began=0.0)
    with progress(forecast, clock) as (_say, count):
        for number in range(100):
            await clock.sleep(1.0 if number > 2 else 0.0)
            count(ended(number))
    assert capsys.readouterr().err.splitlines() == [
        "100 changes, about 1m37s: the platform limits how fast machines are made",
        "33 of 100 changes done, about 1m07s left",
        "63 of 100 changes done, about 37s left",
        "93 of 100 changes done, about 7s left",
    ]


async def test_what_is_done_at_once_is_not_talked_about(capsys: pytest.CaptureFixture[str]) -> None:
    forecast = Forecast([change(number) for number in range(5)], creation_pause_s=1.0, began=0.0)
    with progress(forecast, VirtualClock()) as (_say, count):
        for number in range(5):
            count(ended(number))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0s"), (59.6, "1m00s"), (85, "1m25s"), (7380, "2h03m")])
def test_times_are_spelled_as_durations(seconds: float, words: str) -> None:
    assert spelled(seconds) == words
