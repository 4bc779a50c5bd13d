"""`reconciler logs SERVICE`: all its machines' lines, behind their names, in the order of their times."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.cli.service_logs import find_service, show_service_logs
from reconciler.testing.virtual_time import run_virtually
from tests.support.world import open_world, spec_of

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


def shown(capsys: pytest.CaptureFixture[str], name: str, *, is_json: bool = False, follow_s: float = 0) -> list[str]:
    spec = spec_of(SPEC)

    async def scenario() -> None:
        async with open_world() as world:
            assert (await world.apply(spec)).is_success
            service = find_service(spec, name)
            assert service
            options: Any = SimpleNamespace(is_json=is_json)
            showing = show_service_logs(
                world.actor, options, spec, service, name, follows=follow_s > 0, with_times=False
            )
            if not follow_s:
                await showing
                return
            following = asyncio.create_task(showing)
            await world.actor.clock.sleep(follow_s)
            following.cancel()

    run_virtually(scenario())
    return capsys.readouterr().out.splitlines()


def test_each_line_stands_behind_its_machines_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(shown(capsys, "web")) == ["web-iad-0 | up", "web-iad-1 | up"]
    assert shown(capsys, "web-iad-1") == ["web-iad-1 | up"]


def test_what_comes_is_followed_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "web", follow_s=30)
    assert sorted(lines[:2]) == ["web-iad-0 | up", "web-iad-1 | up"]
    assert sorted(lines[2:]) == ["web-iad-0 | later", "web-iad-1 | later"]


def test_programs_get_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in shown(capsys, "web", is_json=True)]
    assert {(line["slot"], line["message"]) for line in lines} == {("web-iad-0", "up"), ("web-iad-1", "up")}


def test_a_task_is_no_service() -> None:
    assert find_service(spec_of(SPEC), "work") is None
