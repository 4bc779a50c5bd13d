"""`apply --events` and `destroy --events`: what happens, as it happens, however it ends; and `--json-into`."""

import json
import os
import signal
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.ui import side_files
from reconciler.cli.ui.options import Shared
from reconciler.cli.ui.side_files import beside
from reconciler.model.apply_event import ApplyEvent, ApplyEventType
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.testing.virtual import VirtualEngine
from tests.support.changes import ended
from tests.support.command_line import CommandLine, Ended
from tests.support.events import events_in, types_of
from tests.support.schemas import SCHEMAS, strict
from tests.support.world import task_spec

CANARY = "canary-value"
TASK = "work: {command: [run, '600'], env: {PASSWORD: canary-value}, count: %s}"
TASKS = f"version: 1\nname: shop\napps: {{app: {{image: i:1, tasks: {{{TASK}}}}}}}\n"
SERVICE = "version: 1\nname: shop\napps: {app: {image: i:1, services: {web: {command: [%s], count: 2}}}}\n"
CRASHING = "say, listening, err, 'no database', exit, '3'"


def shared_in(directory: Path) -> Shared:
    """The shared options of a command that was started with `-C` alone."""
    values: dict[str, Any] = dict.fromkeys(Shared.__struct_fields__)
    return Shared(**values | {"directory": directory, "output": "text"})


class Shop:
    """A stack, and commands on it."""

    def __init__(self, engine: VirtualEngine, directory: Path) -> None:
        self.engine = engine
        self.directory = directory
        self.line = CommandLine(engine, engine.transport, directory)
        self.file = directory / "events"
        self.declare(TASKS % 2)

    def declare(self, text: str) -> None:
        (self.directory / "machines.yaml").write_text(text)

    def run(self, *words: str, code: int = 0) -> Ended:
        found = self.line.run(*words)
        assert found.code == code, found
        return found

    def events(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """What the verb told; and that no value of a variable is in it."""
        self.run(*words, "--events", "events", code=code)
        text = self.file.read_text()
        assert CANARY not in text
        return events_in(text)


@pytest.fixture
def shop(virtual_engine: VirtualEngine, tmp_path: Path) -> Shop:
    return Shop(virtual_engine, tmp_path)


def test_an_apply_tells_from_its_plan_to_its_summary(shop: Shop) -> None:
    events = shop.events("apply", "--yes")
    assert types_of(events)[:2] == ["planned", "app_created"]
    assert events[0]["data"]["counts"]["create"] == 2
    assert events[0]["data"]["plan_sha256"].startswith("sha256:")
    assert types_of(events, "app/work-iad-0") == types_of(events, "app/work-iad-1") == ["started", "done"]
    assert events[-1]["data"]["success"]
    assert events[-1]["data"]["apps_created"] == ["app"]
    again = shop.events("apply", "--yes")
    assert types_of(again) == ["planned", "summary"]
    assert stat.S_IMODE(shop.file.stat().st_mode) == 0o600


def test_a_destroy_tells_too_and_events_on_stdout_leave_text_to_stderr(shop: Shop) -> None:
    shop.run("apply", "--yes")
    shown = shop.run("destroy", "--yes", "--events", "-")
    events = events_in(shown.out)
    assert types_of(events, "app/work-iad-0") == ["started", "done"]
    assert events[-1]["data"]["entries"][0]["action"] == "destroy"
    assert "Destroyed: 2 done" in shown.err
    assert "Stack shop on http://127.0.0.1, spec machines.yaml" in shown.err


def test_a_service_that_crashes_fails_and_its_last_lines_are_told(shop: Shop) -> None:
    shop.declare(SERVICE % CRASHING)
    events = shop.events("apply", "--yes", code=1)
    failed = next(one for one in events if one["type"] == "failed")
    log = next(one for one in events if one["type"] == "log")
    assert log["address"] == failed["address"]
    assert log["data"]["lines"][:2] == ["listening", "no database"]
    assert not events[-1]["data"]["success"]


def test_an_adoption_tells_whether_it_writes_marks_alone(shop: Shop) -> None:
    shop.run("apply", "--yes")
    shop.run("release", "--yes")
    shop.declare((TASKS % 2).replace("i:1", "i:2"))
    planned = json.loads(shop.run("plan", "--adopt", "-o", "json").out)
    assert {one["marks_only"] for one in planned["changes"]} == {False}
    shop.declare(TASKS % 2)
    events = shop.events("apply", "--adopt", "--yes")
    started = [one["data"] for one in events if one["type"] == "started"]
    assert [(one["action"], one["marks_only"]) for one in started] == [("adopt", True)] * 2
    assert {one["marks_only"] for one in events[0]["data"]["changes"]} == {True}


def test_what_is_deferred_may_be_done_later(shop: Shop) -> None:
    shop.run("apply", "--yes")
    shop.run("invoke", "work", "--no-wait")
    shop.declare((TASKS % 2).replace("i:1", "i:2"))
    events = shop.events("apply", "--yes")
    deferred = [one["address"] for one in events if one["type"] == "deferred"]
    assert len(deferred) == 1
    waited = shop.events("apply", "--yes", "--wait-busy", "20m")
    assert types_of(waited, deferred[0]) == ["deferred", "started", "done"]


def test_an_interrupted_one_ends_with_its_summary(shop: Shop) -> None:
    shop.declare(TASKS % 30)

    def interrupt(request: httpx.Request) -> None:
        if request.method == "POST" and request.url.path.endswith("/machines"):
            signal.raise_signal(signal.SIGINT)
            shop.engine.transport.before = lambda _request: None

    shop.engine.transport.before = interrupt
    events = shop.events("apply", "--yes", code=130)
    assert events[-1]["data"]["interrupted"]
    assert {"started", "done", "skipped"} <= {*types_of(events)}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort(), ValueError("a bug")], ids=repr)
def test_one_that_is_given_up_ends_with_what_it_has_done(tmp_path: Path, error: BaseException) -> None:
    first, second = (ended(number) for number in range(2))

    def give_up() -> None:
        with beside(shared_in(tmp_path), task_spec(), events="events") as both:
            both.events.plan(Plan(stack="stack", apps=(), changes=()))
            for one in (first, second):
                both.events.take(ApplyEvent(type=ApplyEventType.DONE, time=datetime.now(UTC), about=one))
            raise error

    with pytest.raises(type(error)):
        give_up()
    summary = events_in((tmp_path / "events").read_text())[-1]["data"]
    assert [one["address"] for one in summary["entries"]] == [first.address, second.address]
    assert summary["interrupted"] is not isinstance(error, ValueError)
    assert summary["failures"] == ([] if summary["interrupted"] else ["unexpected ValueError: a bug"])


def test_a_reader_who_does_not_read_delays_nothing_but_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(side_files, "_PATIENCE_S", 0.05)
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    plan = Plan(stack="stack", apps=(), changes=(), warnings=("x" * 400,) * 400)
    with beside(shared_in(tmp_path), task_spec(), events="pipe") as both:
        both.events.plan(plan)  # more than a pipe holds
        both.end(Report(plan=plan, entries=()))
    assert capsys.readouterr().err == "error: --events pipe cannot be written: nobody reads it\n"
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    os.close(reader)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--expect-plan", f"sha256:{'0' * 64}", "--revision", "2"], "sha256:"),
        (["--yes", "--revision", "1"], "older"),
    ],
)
def test_a_refused_one_has_a_plan_and_a_summary(shop: Shop, words: list[str], said: str) -> None:
    shop.run("apply", "--yes", "--revision", "2")
    shop.declare(TASKS % 3)
    events = shop.events("apply", *words, code=1)
    assert types_of(events) == ["planned", "summary"]
    assert not events[-1]["data"]["success"]
    assert said in events[-1]["data"]["failures"][0]


def test_a_plan_above_the_deletion_limit_is_refused_as_told(shop: Shop) -> None:
    shop.declare(TASKS % 8)
    shop.run("apply", "--yes")
    shop.declare(TASKS % 1)
    events = shop.events("apply", "--yes", code=1)
    assert types_of(events) == ["planned", "summary"]
    assert "--allow-destroy 7" in events[-1]["data"]["failures"][0]


def test_an_error_before_the_plan_is_a_summary_alone(shop: Shop) -> None:
    def refuse(_request: httpx.Request) -> None:
        raise httpx.ConnectError("nobody listens")

    shop.engine.transport.before = refuse
    [summary] = shop.events("apply", "--yes", code=1)
    assert summary["data"]["failures"]
    assert summary["data"]["stack"] == "shop"


def test_a_file_that_is_there_is_written_anew_for_its_owner_alone(shop: Shop) -> None:
    shop.file.write_text("old\n" * 10_000)
    shop.file.chmod(0o644)
    events = shop.events("apply", "--yes")
    assert types_of(events)[0] == "planned"
    assert stat.S_IMODE(shop.file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--events", "none/file"], "cannot write none/file: No such file or directory"),
        (["--json-into", "."], "cannot write .: Is a directory"),
        (["--json-into", "machines.yaml"], "machines.yaml is needed for something else"),
        (["--events", "./machines.yaml"], "is needed for something else"),
        (["--events", "one", "--json-into", "one"], "one is needed for something else"),
        (["--json-into", "-"], "--json-into - is -o json"),
        (["--events", "-", "-o", "json"], "both need stdout"),
        (["--events", "one", "--dry-run"], "--dry-run"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_done(shop: Shop, words: list[str], said: str) -> None:
    before = (shop.directory / "machines.yaml").read_text()
    shown = shop.run("apply", "--yes", *words, code=64)
    assert said in shown.err
    assert (shop.directory / "machines.yaml").read_text() == before
    assert not shop.engine.requests


def test_one_file_seen_from_another_directory_is_not_written_for_two(shop: Shop) -> None:
    (shop.directory / "sub").mkdir()
    shown = shop.run("apply", "--yes", "-C", "sub", "--events", "one", "--json-into", "one", code=64)
    assert "one is needed for something else" in shown.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("option", ["--events", "--json-into"])
def test_a_full_disk_is_one_line_and_stops_nothing(shop: Shop, option: str) -> None:
    shown = shop.run("apply", "--yes", option, "/dev/full", code=1)
    assert "Applied: app app created, 2 done" in shown.out
    told = [line for line in shown.err.splitlines() if line.startswith("error: ")]
    assert told == [f"error: {option} /dev/full cannot be written: No space left on device"]


DOCUMENTS = [
    ("plan", "plan"),
    ("drift", "plan"),
    ("status", "status"),
    ("apply --yes", "report"),
    ("destroy --yes", "report"),
]


@pytest.mark.parametrize(("words", "schema"), DOCUMENTS)
def test_the_document_is_written_beside_the_text(shop: Shop, words: str, schema: str) -> None:
    shop.run("apply", "--yes")
    text = shop.run(*words.split(), "--json-into", "document").out
    document = json.loads((shop.directory / "document").read_text())
    Draft202012Validator(strict(json.loads((SCHEMAS / f"{schema}.schema.json").read_text()))).validate(document)
    assert stat.S_IMODE((shop.directory / "document").stat().st_mode) == 0o600
    assert not text.startswith("{")


def test_a_document_is_written_whatever_the_end(shop: Shop) -> None:
    refused = ("--expect-plan", f"sha256:{'0' * 64}", "--revision", "2")
    shop.run("apply", *refused, "--json-into", "document", code=1)
    document = json.loads((shop.directory / "document").read_text())
    assert document["failures"]
    shop.run("plan", "--out", "saved")
    shop.run("show", "saved", "--json-into", "saved", code=64)
    shop.run("show", "saved", "--json-into", "document")
    assert json.loads((shop.directory / "document").read_text())["stack"] == "shop"
