"""FLY_APP is a default of -a for verbs about runs; no variable of Fly narrows a plan, or its apply."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import start_engine, stop_engine
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: stack
apps:
  one: {image: i, tasks: {work: {command: [echo, one], count: {iad: 1, ams: 1}}}}
  two: {image: i, tasks: {work: {command: [echo, two], count: {iad: 1, ams: 1}}}}
"""
SLOTS = {"one/work-ams-0", "one/work-iad-0", "two/work-ams-0", "two/work-iad-0"}


class Command:
    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._directory = directory
        self._capsys = capsys

    def __call__(self, verb: str, *arguments: str, code: int = 0) -> str:
        ended = run([verb, "-C", str(self._directory), *arguments])
        captured = self._capsys.readouterr()
        assert ended == code, (ended, captured)
        return captured.out + captured.err if code else captured.out

    def json(self, verb: str, *arguments: str) -> dict[str, Any]:
        return dict(json.loads(self(verb, "-o", "json", *arguments)))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    (tmp_path / "machines.yaml").write_text(SPEC)
    start_engine(tmp_path / "home")
    yield Command(tmp_path, capsys)
    stop_engine(tmp_path / "home")


def test_an_apply_in_a_machine_is_no_part_of_itself(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FLY_APP", "two"), ("FLY_ORG", "acme"), ("FLY_REGION", "ams"), ("FLY_APP_NAME", "one")):
        monkeypatch.setenv(name, value)

    def planned(verb: str) -> set[str]:
        return {str(one["address"]) for one in command.json(verb)["changes"]}

    assert command.json("validate")["machines"] == 4
    plan = command.json("plan")
    assert {one["address"] for one in plan["changes"]} == SLOTS
    assert {app["org"] for app in plan["apps"]} == {"personal"}
    assert {one["address"] for one in command.json("apply", "--yes")["entries"] if "work-" in one["address"]} == SLOTS
    assert {f"{row['app']}/{row['slot']}" for row in command.json("status")["slots"]} == SLOTS
    assert planned("plan") == planned("drift") == set()
    assert "No leases" in command("unlock")
    assert {one["address"] for one in command.json("destroy", "--yes")["entries"]} >= SLOTS


def test_it_is_the_app_of_a_run_where_none_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command("apply", "--yes")
    assert "say which with --app" in command("invoke", "work", code=125)
    monkeypatch.setenv("FLY_APP_NAME", "one")
    monkeypatch.setenv("FLY_REGION", "ams")
    assert "say which with --app" in command("invoke", "work", code=125)
    monkeypatch.setenv("FLY_APP", "two")
    assert command("invoke", "work") == "two\n"
    assert command("logs", "work") == "two\n"
    assert {one["app"] for one in command.json("runs", "work")["runs"]} == {"two"}
    assert command("invoke", "work", "-a", "one") == "one\n"
    assert {one["app"] for one in command.json("runs", "work", "-a", "one")["runs"]} == {"one"}
    monkeypatch.setenv("FLY_APP", "three")
    said = command("invoke", "work", code=125)
    assert "has no app 'three', which FLY_APP names" in said
    assert "its apps: one, two" in said
    assert command("invoke", "work", "-a", "two") == "two\n"
    monkeypatch.setenv("FLY_APP", "")
    assert "say which with --app" in command("invoke", "work", code=125)
