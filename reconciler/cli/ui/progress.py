"""Show how far an apply is, and when it should end: a bar, or lines in a pipe."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from reconciler.cli.ui import console

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from reconciler.apply.eta import Forecast
    from reconciler.clock import Clock
    from reconciler.model.report import Entry

_WORTH_TELLING_S: Final = 10.0
_LINE_EVERY_S: Final = 30.0
_WIDE: Final = 50


@contextmanager
def progress(
    forecast: "Forecast", clock: "Clock", *, doing: str = "applying"
) -> Iterator[tuple[Callable[[str], None], Callable[["Entry"], None]]]:
    """Yield two callables: one prints a line, one counts a change that ended."""
    is_bar = console.is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb" and forecast.total > 0
    with _bar(forecast, clock, doing) if is_bar else _lines(forecast, clock) as both:
        yield both


def words_of(forecast: "Forecast", clock: "Clock") -> str:
    """Return progress in words: `12 of 100 changes done, about 1m25s left`."""
    left_s = forecast.left_s(clock.monotonic())
    left = f", about {spelled(left_s)} left" if left_s is not None and left_s >= 1 else ""
    return f"{forecast.done} of {forecast.total} changes done{left}"


def spelled(seconds: float) -> str:
    """Spell a duration: `25s`, `1m25s`, `2h03m`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes_left:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


@contextmanager
def _lines(forecast: "Forecast", clock: "Clock") -> Iterator[tuple[Callable[[str], None], Callable[["Entry"], None]]]:
    """Print the expected time, if it is long, then the progress now and then."""
    told_at = clock.monotonic()
    left_s = forecast.left_s(told_at) or 0.0
    if left_s >= _WORTH_TELLING_S:
        console.say(
            f"{forecast.total} changes, about {spelled(left_s)}: the platform limits how fast machines are made"
        )

    def count(ended: "Entry") -> None:
        nonlocal told_at
        forecast.count(ended)
        if clock.monotonic() - told_at >= _LINE_EVERY_S:
            told_at = clock.monotonic()
            console.say(words_of(forecast, clock))

    yield console.say, count


@contextmanager
def _bar(
    forecast: "Forecast", clock: "Clock", doing: str
) -> Iterator[tuple[Callable[[str], None], Callable[["Entry"], None]]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    terminal = Console(stderr=True)
    columns: list[ProgressColumn] = [BarColumn(bar_width=None), MofNCompleteColumn(), TextColumn("{task.fields[left]}")]
    if terminal.width >= _WIDE:
        columns = [TextColumn(doing), *columns[:2], TimeElapsedColumn(), *columns[2:]]
    with Progress(*columns, console=terminal, transient=True) as bar:
        task = bar.add_task(doing, total=forecast.total, left=_left(forecast, clock))

        def count(ended: "Entry") -> None:
            forecast.count(ended)
            bar.update(task, total=forecast.total, completed=forecast.done, left=_left(forecast, clock))

        yield lambda line: bar.console.print(console.harmless(line), markup=False, highlight=False), count


def _left(forecast: "Forecast", clock: "Clock") -> str:
    left_s = forecast.left_s(clock.monotonic())
    return "" if left_s is None else f"{spelled(left_s)} left"
