"""`reconciler logs SERVICE`: all its machines' lines, behind their names, in the order of their times."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.ui.task_output import machine_printer
from reconciler.errors import ApiError
from reconciler.operations.service_logs import find_service, read_service_logs
from reconciler.testing.virtual_time import run_virtually
from tests.support.log_endpoint import BAD_ANSWERS, LogEndpoint
from tests.support.schemas import strict
from tests.support.world import World, open_world, spec_of

SCHEMA = Path(__file__).parents[2] / "schemas" / "log-line.schema.json"
SPEC = """
version: 1
name: stack
apps:
  app:
    image: i
    tasks: {work: {command: [exit, '0']}}
    services:
      web: {command: [say, up, run, '20', say, later, run, '100000'], count: 2}
"""


def shown(
    capsys: pytest.CaptureFixture[str],
    name: str,
    *,
    is_json: bool = False,
    follow_s: float = 0,
    spoil: Callable[[LogEndpoint], None] = lambda _endpoint: None,
) -> list[str]:
    """The lines on stdout, then those of our own."""
    spec = spec_of(SPEC)
    said: list[str] = []

    async def scenario() -> None:
        async with open_world() as world:
            assert (await world.apply(spec)).is_success
            world.said.clear()
            spoil(LogEndpoint(world))
            service = find_service(spec, name)
            assert service
            options: Any = SimpleNamespace(is_json=is_json)
            showing = read_service_logs(
                world.context, spec, service, name, machine_printer(options), follows=follow_s > 0
            )
            following = asyncio.create_task(showing)
            await asyncio.wait({following}, timeout=follow_s or None)
            said.extend(world.said)
            if following.done() and not following.result():
                said.append("not whole")
            following.cancel()

    run_virtually(scenario())
    return [*capsys.readouterr().out.splitlines(), *said]


def test_each_line_stands_behind_its_machines_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(shown(capsys, "web")) == ["web-iad-0 | up", "web-iad-1 | up"]
    assert shown(capsys, "web-iad-1") == ["web-iad-1 | up"]


def test_what_comes_is_followed_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "web", follow_s=30)
    assert sorted(lines[:2]) == ["web-iad-0 | up", "web-iad-1 | up"]
    assert sorted(lines[2:]) == ["web-iad-0 | later", "web-iad-1 | later"]


def test_programs_get_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in shown(capsys, "web", is_json=True)]
    for line in lines:
        Draft202012Validator(strict(json.loads(SCHEMA.read_text()))).validate(line)
    assert {(line["slot"], line["message"]) for line in lines} == {("web-iad-0", "up"), ("web-iad-1", "up")}


@pytest.mark.parametrize("bad", sorted(BAD_ANSWERS.keys() - {"429 of a minute"}))
def test_one_bad_answer_loses_no_line_and_is_not_talked_about(capsys: pytest.CaptureFixture[str], bad: str) -> None:
    def once(endpoint: LogEndpoint) -> None:
        endpoint.strike(BAD_ANSWERS[bad], times=1)

    assert shown(capsys, "web-iad-1", spoil=once) == ["web-iad-1 | up"]
    assert shown(capsys, "web-iad-1", follow_s=30, spoil=once) == ["web-iad-1 | up", "web-iad-1 | later"]


@pytest.mark.parametrize("follow_s", [0, 60])
def test_a_log_that_cannot_be_read_is_an_error_and_the_others_are_shown(
    capsys: pytest.CaptureFixture[str], follow_s: float
) -> None:
    def one_machine(endpoint: LogEndpoint) -> None:
        endpoint.strike(BAD_ANSWERS["404"], on=endpoint.world.machines()[0].id)

    later = ["web-iad-1 | later"] if follow_s else []
    assert shown(capsys, "web", follow_s=follow_s, spoil=one_machine) == [
        "web-iad-1 | up",
        *later,
        "web-iad-0: its log cannot be read: read logs of app: 404 not today",
        *([] if follow_s else ["not whole"]),
    ]


def test_where_no_log_can_be_read_following_ends(capsys: pytest.CaptureFixture[str]) -> None:
    shows = shown(capsys, "web-iad-0", follow_s=60, spoil=lambda endpoint: endpoint.strike(BAD_ANSWERS["401"]))
    assert shows == ["web-iad-0: its log cannot be read: read logs of app: 401 not today", "not whole"]


def test_an_outage_is_waited_out_by_whoever_follows(capsys: pytest.CaptureFixture[str]) -> None:
    def for_some_minutes(endpoint: LogEndpoint) -> None:
        endpoint.strike(BAD_ANSWERS["500"], ahead=1, times=200)

    told = shown(capsys, "web-iad-0", follow_s=400, spoil=for_some_minutes)
    assert told[:2] == ["web-iad-0 | up", "web-iad-0 | later"]
    cannot = "web-iad-0: the logs cannot be read"
    assert told[2] == f"{cannot}: read logs of app: 500 not today; retrying for another 30 min"
    assert told[-1].startswith(f"{cannot}: answered again after")
    assert len(told) <= 9  # once a minute


def test_a_task_is_no_service() -> None:
    assert find_service(spec_of(SPEC), "work") is None


@pytest.mark.slow
async def test_a_target_that_stays_away_is_given_up(world: World) -> None:
    spec = spec_of(SPEC)

    assert (await world.apply(spec)).is_success
    service = find_service(spec, "web")
    assert service
    options: Any = SimpleNamespace(is_json=False)
    world.engine.faults.add("refuse_connection", calls=("logs",), times=-1)
    following = read_service_logs(
        world.context, spec, service, "web", machine_printer(options), follows=True, lost_after_s=600.0
    )
    async with asyncio.timeout(700):
        with pytest.raises(ApiError):
            await following
    assert world.context.clock.monotonic() >= 600
