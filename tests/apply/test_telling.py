"""Progress of many changes: those that are alike are one line for each range, whatever else has a line of its own."""

import pytest
from msgspec.structs import replace

from reconciler.apply.executor import Stop
from reconciler.apply.telling import Teller
from reconciler.model.change import Action
from reconciler.model.plan import Plan
from reconciler.model.report import Entry, Report, Status
from reconciler.model.spec import Slot
from reconciler.render.ranges import ranges_of
from reconciler.render.report import report_text
from tests.support.changes import change, ended
from tests.support.world import World, app_spec, task_spec

LATER = "interrupted before it began"


class Heard:
    """A teller of so many creates, and the lines that it has told."""

    def __init__(self, world: World, count: int) -> None:
        self.lines: list[str] = []
        context = replace(world.context, emit=self.lines.append)
        self.changes = [change(number) for number in range(count)]
        self.teller = Teller(self.changes, context)


def failed(number: int) -> Entry:
    return replace(ended(number, status=Status.FAILED), detail="no room")


async def test_two_hundred_that_are_alike_are_one_line_once_the_last_has_ended(world: World) -> None:
    heard = Heard(world, 200)
    for number in (*range(199, 100, -1), *range(101)):
        assert heard.lines == []
        heard.teller.take(ended(number))
    assert heard.lines == ["app/work-iad-0…199: 200 done (create)"]
    heard.teller.finish()
    assert len(heard.lines) == 1


@pytest.mark.parametrize(("count", "lines"), [(20, 20), (21, 1)])
async def test_a_few_have_a_line_each(world: World, count: int, lines: int) -> None:
    heard = Heard(world, count)
    for number in range(count):
        heard.teller.take(ended(number))
    assert len(heard.lines) == lines


async def test_what_failed_or_was_deferred_has_a_line_of_its_own_at_once(world: World) -> None:
    heard = Heard(world, 30)
    heard.teller.take(failed(7))
    heard.teller.take(ended(8, status=Status.DEFERRED))
    heard.teller.take(ended(9, status=Status.UNKNOWN))
    assert heard.lines == [
        "app/work-iad-7: create failed: no room",
        "app/work-iad-8: create deferred",
        "app/work-iad-9: create: outcome unknown",
    ]
    for number in (*range(7), *range(10, 30)):
        heard.teller.take(ended(number))
    assert heard.lines[3:] == ["app/work-iad-0…6: 7 done (create)", "app/work-iad-10…29: 20 done (create)"]


async def test_an_interrupted_one_tells_ranges_too(world: World) -> None:
    heard = Heard(world, 100)
    for number in range(57):
        heard.teller.take(ended(number))
    for number in range(57, 99):
        heard.teller.take(replace(ended(number, status=Status.SKIPPED), detail=LATER))
    assert heard.lines == []
    heard.teller.finish()  # the last one was cancelled, and never ends
    assert heard.lines == [
        "app/work-iad-0…56: 57 done (create)",
        f"app/work-iad-57…98: 42 skipped (create): {LATER}",
    ]


async def test_what_all_say_on_their_way_is_told_once(world: World) -> None:
    heard = Heard(world, 30)
    for one in heard.changes:
        heard.teller.context_of(one).emit(f"{one.address}: running; watched for 10 s")
    heard.teller.context_of(heard.changes[3]).emit("app/work-iad-3: its log cannot be read")
    assert heard.lines == ["app/work-iad-0: running; watched for 10 s", "app/work-iad-3: its log cannot be read"]


def test_ranges_end_at_gaps_and_regions() -> None:
    slots = [Slot(app="a", pool="w", region=region, number=n) for region in ("iad", "ams") for n in (3, 1, 2, 7)]
    assert [found.address for found in ranges_of(slots)] == [
        "a/w-ams-1…3",
        "a/w-ams-7",
        "a/w-iad-1…3",
        "a/w-iad-7",
    ]


async def test_an_apply_of_two_hundred_says_few_lines(world: World) -> None:
    report = await world.apply(task_spec(count="200"))
    assert report.is_success
    assert world.said == ["app: app created", "app/work-iad-0…199: 200 done (create)"]


async def test_services_too(world: World) -> None:
    report = await world.apply(app_spec("    services:\n      web: {command: [run, '1000000'], count: 30}\n"))
    assert report.is_success, report_text(report)
    told = [line for line in world.said if line != "app: app created"]
    assert told[-1] == "app/web-iad-0…29: 30 done (create)"
    assert len(told) == 2
    assert told[0].endswith("running; watched for 10 s")


async def test_the_report_of_an_interrupted_apply_names_ranges(world: World) -> None:
    stop = Stop()
    count = 0

    def interrupt(_ended: Entry) -> None:
        nonlocal count
        count += 1
        if count == 50:
            stop.interrupt()

    report = await world.apply(task_spec(count="200"), stop=stop, on_end=interrupt)
    assert report.interrupted
    lines = report_text(report).splitlines()
    skipped = [line for line in lines if line.startswith("skipped: create app/work-iad-")]
    assert len(skipped) <= 10
    assert all(line.endswith(LATER) for line in skipped)
    assert len(world.said) < 20
    assert sum(entry.status is Status.SKIPPED for entry in report.entries) > 100


def test_a_report_keeps_a_line_for_each_of_a_few_and_for_each_failure() -> None:
    skipped = [replace(ended(number, status=Status.SKIPPED), detail=LATER) for number in range(5)]
    entries = (*skipped, *(failed(number) for number in range(5, 40)), ended(40, Action.UPDATE))
    plan = Plan(stack="s", apps=(), changes=())
    shown = report_text(Report(plan=plan, entries=entries)).splitlines()
    assert sum(line.startswith("skipped: ") for line in shown) == 5
    assert sum(line.startswith("failed: ") for line in shown) == 35
