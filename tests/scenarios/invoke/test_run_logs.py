"""The output of runs while the log endpoint fails: one bad answer loses no line, and no run waits long for its log."""

import asyncio
from itertools import pairwise

import pytest

from reconciler.errors import LogsIncompleteError
from reconciler.invoke.attach import read_run_logs, wait_run
from reconciler.invoke.runs import find_run
from reconciler.machines_api.logs import LogLine
from reconciler.model.run import OutcomeName
from reconciler.model.spec import Spec
from tests.support.log_endpoint import BAD_ANSWERS, LogEndpoint, endless
from tests.support.world import World, task_spec

pytestmark = pytest.mark.slow

QUICK = task_spec("[say, done, exit, '3']", count="1")
TALKING = task_spec("[say, one, run, '5', say, two, run, '5', say, three, exit, '3']", count="1")
PASSING = sorted(BAD_ANSWERS.keys() - {"429 of a minute"})  # a minute's silence that was asked for is kept


async def ready(world: World, spec: Spec = QUICK) -> LogEndpoint:
    """A machine to run the task, and the log endpoint to spoil."""
    await world.apply(spec)
    await world.context.clock.sleep(10)
    return LogEndpoint(world)


@pytest.mark.parametrize("delay_s", [0.0, 3.0])
@pytest.mark.parametrize("bad", sorted(BAD_ANSWERS))
async def test_a_run_that_has_ended_waits_seconds_for_a_log_that_cannot_be_read(
    world: World, bad: str, delay_s: float
) -> None:
    endpoint = await ready(world)
    endpoint.strike(BAD_ANSWERS[bad])
    began = world.context.clock.monotonic()
    run = await world.invoke(QUICK, take_line=lambda _line: None, log_delay_s=delay_s)
    assert (run.outcome.name, run.outcome.exit_code) == (OutcomeName.FAILED, 3)
    assert world.context.clock.monotonic() - began < 12
    [told] = [line for line in world.said if "incomplete" in line]
    assert f"reconciler logs {run.id}" in told


@pytest.mark.parametrize(
    ("after_start_ms", "step_ms", "is_told"),
    [
        (1000, 0.0, False),  # all of one moment: nothing newer comes
        (1000, 0.001, True),  # the run's own, and more of them than can be read
        (60_000, 1.0, True),  # of after its end, and no other run has begun
    ],
)
async def test_a_run_that_has_ended_waits_seconds_for_lines_without_end(
    world: World, after_start_ms: int, step_ms: float, is_told: bool
) -> None:
    spec = task_spec("[run, '2', exit, '3']", count="1")
    endpoint = await ready(world, spec)
    begin_ms = world.context.clock.now().timestamp() * 1000 + after_start_ms
    endpoint.strike(endless(at_ms=lambda number: begin_ms + number * step_ms))
    began = world.context.clock.monotonic()
    run = await world.invoke(spec, take_line=lambda _line: None, log_delay_s=0.0)
    assert run.outcome.exit_code == 3
    assert world.context.clock.monotonic() - began < 14
    assert bool([line for line in world.said if "incomplete" in line]) is is_told


@pytest.mark.parametrize("ahead", [0, 1, 5, 9, 10, 11, 12])
@pytest.mark.parametrize("bad", PASSING)
async def test_one_bad_answer_loses_no_line_and_is_not_talked_about(world: World, bad: str, ahead: int) -> None:
    endpoint = await ready(world, TALKING)
    endpoint.strike(BAD_ANSWERS[bad], ahead=ahead, times=1)
    lines: list[str] = []
    run = await world.invoke(TALKING, take_line=lambda line: lines.append(line.message), log_delay_s=0.0)
    assert run.outcome.exit_code == 3
    assert lines == ["one", "two", "three"]
    assert not [line for line in world.said if "log" in line]


@pytest.mark.parametrize("bad", PASSING)
async def test_a_failing_log_is_asked_from_the_same_place_until_five_seconds_after_the_end(
    world: World, bad: str
) -> None:
    endpoint = await ready(world, TALKING)
    endpoint.strike(BAD_ANSWERS[bad], ahead=1, times=1 << 30)
    began = world.context.clock.monotonic()
    await world.invoke(TALKING, take_line=lambda _line: None, log_delay_s=0.0)
    failed = [asked for asked in endpoint.asked if not asked.is_well]
    assert len({asked.token for asked in failed}) == 1
    waited_s = 4.0 if bad == "no answer" else 0.0
    pauses_s = [later.at_s - earlier.at_s for earlier, later in pairwise(failed)]
    assert max(pauses_s) <= 1.0 + waited_s + 1e-6
    assert failed[-1].at_s + waited_s >= began + 10 + 5  # it runs for ten seconds
    assert [line for line in world.said if "for now" in line]


@pytest.mark.parametrize("seconds_late", [0.5, 4.9])
async def test_a_log_that_can_be_read_soon_after_the_end_is_whole(world: World, seconds_late: float) -> None:
    endpoint = await ready(world)
    endpoint.strike(BAD_ANSWERS["500"])
    lines: list[str] = []
    invoking = asyncio.create_task(world.invoke(QUICK, take_line=lambda line: lines.append(line.message)))
    while world.machines()[0].events[0].type != "exit":
        await world.context.clock.sleep(0.01)
    await world.context.clock.sleep(seconds_late)
    endpoint.strike(BAD_ANSWERS["500"], times=0)
    await invoking
    assert lines == ["done"]


async def test_lines_of_the_next_run_are_not_taken_for_late_ones(world: World) -> None:
    await ready(world)
    lines: list[str] = []
    first = asyncio.create_task(world.invoke(QUICK, take_line=lambda line: lines.append(line.message)))
    while world.machines()[0].events[0].type != "exit":
        await world.context.clock.sleep(0.01)
    await world.invoke(QUICK)
    await first
    assert lines == ["done"]


@pytest.mark.parametrize("bad", sorted(BAD_ANSWERS))
async def test_the_log_of_a_run_that_cannot_be_read_is_an_error(world: World, bad: str) -> None:
    endpoint = await ready(world)
    run = await world.invoke(QUICK)
    endpoint.strike(BAD_ANSWERS[bad])
    found = await find_run(world.context, "app", run.id or "", stack="stack")
    assert found
    with pytest.raises(LogsIncompleteError, match="cannot be read"):
        await read_run_logs(world.context, found, lambda _line: None, log_delay_s=0.0)


async def test_whoever_follows_a_run_is_told_that_its_log_is_incomplete(world: World) -> None:
    endpoint = await ready(world, TALKING)
    run = await world.invoke(TALKING, is_waiting=False)
    found = await find_run(world.context, "app", run.id or "", stack="stack")
    assert found
    endpoint.strike(BAD_ANSWERS["401"])
    problems: list[LogsIncompleteError] = []
    ended = await wait_run(
        world.context, found, take_line=lambda _line: None, log_delay_s=0.0, on_incomplete=problems.append
    )
    assert ended.outcome
    assert ended.outcome.exit_code == 3
    [problem] = problems
    assert "401" in problem.message


async def test_what_a_run_says_without_end_is_shown_up_to_now(world: World) -> None:
    words = ", ".join("say, again, run, '0.05'" for _ in range(4000))
    spec = task_spec(f"[{words}]", count="1")
    await ready(world, spec)
    run = await world.invoke(spec, is_waiting=False)
    await world.context.clock.sleep(60)
    found = await find_run(world.context, "app", run.id or "", stack="stack")
    assert found
    began, lines = world.context.clock.monotonic(), list[LogLine]()
    await read_run_logs(world.context, found, lines.append, log_delay_s=0.0)
    assert len(lines) >= 1200
    assert world.context.clock.monotonic() - began < 30
