"""Flags and variables that people bring along from other tools, by the command line on an engine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.ui import console
from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine
from tests.support.world import app_text

SPEC = app_text("    tasks:\n      work: {command: [exit, '0'], count: 2}\n")
RED = "\x1b["


@pytest.fixture
def line(tmp_path: Path) -> Iterator[CommandLine]:
    (tmp_path / "machines.yaml").write_text(SPEC)
    with VirtualEngine() as engine:
        yield CommandLine(engine, engine.transport, tmp_path)


def test_a_dry_run_is_what_plan_shows_and_ends_with(line: CommandLine) -> None:
    for words in ([], ["--detailed-exitcode"], ["-o", "markdown"], ["--only", "work"]):
        plan = line.run("plan", "--no-revision", *words)
        assert line.run("apply", "--dry-run", "--no-revision", *words) == plan
        assert plan.code == (2 if "--detailed-exitcode" in words else 0)
    plan, dry = (json.loads(line.run(*verb, "--json").out) for verb in (["plan"], ["apply", "--dry-run"]))
    assert dry["plan_sha256"] == plan["plan_sha256"]
    assert dry.keys() == plan.keys()


def test_a_dry_run_writes_nothing_also_where_it_is_agreed_to(line: CommandLine) -> None:
    line.run("apply", "--dry-run", "--yes")
    assert json.loads(line.run("plan", "--json").out)["counts"]["create"] == 2
    assert line.run("apply", "--auto-approve").code == 0
    assert line.run("apply", "--dry-run", "--detailed-exitcode").code == 0


def test_a_dry_run_of_what_would_be_refused_ends_1(line: CommandLine, tmp_path: Path) -> None:
    assert line.run("plan", "--out", "saved").code == 0
    assert line.run("apply", "saved", "--dry-run").code == 0
    assert line.run("apply", "--yes", "--revision", "2").code == 0
    assert line.run("apply", "saved", "--dry-run", "--detailed-exitcode", "--revision", "2").code == 0
    (tmp_path / "machines.yaml").write_text(SPEC.replace("exit, '0'", "exit, '1'"))
    assert line.run("apply", "--dry-run", "--revision", "1").code == 1
    assert line.run("apply", "--dry-run", "--revision", "1", "--allow-rollback").code == 0
    ended = line.run("apply", "--dry-run", "--no-revision", "--expect-plan", f"sha256:{'0' * 64}")
    assert (ended.code, "what is due was not all approved" in ended.err) == (1, True)


def test_a_dry_run_never_asks(line: CommandLine) -> None:
    assert line.run("apply", "--dry-run", "--no-input").code == 0
    assert line.run("apply", "--detailed-exitcode", "--yes").code == 64


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["apply", "--no-input"], 1),
        (["--no-input", "apply"], 1),
        (["destroy", "--no-input"], 1),
        (["engine", "conform", VirtualEngine.url, "--app", "probe", "--no-input"], 1),
        (["apply", "--no-input", "--yes"], 0),
        (["destroy", "--no-input", "--auto-approve"], 0),
    ],
)
def test_with_no_input_nobody_is_asked(
    line: CommandLine, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    monkeypatch.setattr(console, "is_terminal", lambda _stream: True)
    monkeypatch.setattr(console, "_read_line", lambda _interrupts: pytest.fail("it asked"))
    ended = line.run(*words)
    assert ended.code == code
    assert ("--no-input forbids asking" in ended.err) == (code != 0)


@pytest.mark.parametrize("verb", [["plan"], ["status"], ["drift"], ["apply", "--yes"], ["validate"], ["runs"]])
def test_json_is_a_flag_too(line: CommandLine, verb: list[str]) -> None:
    line.run("apply", "--yes")
    [before, after] = ([*verb, "-o", "json"], ["--json", *verb])
    assert json.loads(line.run(*before).out).keys() == json.loads(line.run(*after).out).keys()
    ended = line.run(*verb, "--json", "-o", "text")
    assert (ended.code, "--json is -o json" in ended.err) == (64, True)


@pytest.mark.parametrize("asked", ["-o json", "-ojson", "--output json", "--output=json", "--json"])
def test_a_wrong_line_is_told_as_json_however_that_is_asked_for(line: CommandLine, asked: str) -> None:
    assert '"exit_code": 64' in line.run("plan", "--bogus", *asked.split()).out
    assert line.run("plan", "--bogus", "--", *asked.split()).out == ""


@pytest.mark.parametrize(
    ("environment", "words", "is_coloured"),
    [
        ({}, [], False),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, [], True),
        ({"FORCE_COLOR": "0"}, [], False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"FORCE_COLOR": "1"}, ["--no-color"], False),
        ({"FORCE_COLOR": "1"}, ["-o", "json"], False),
        ({"FORCE_COLOR": "1"}, ["-o", "markdown"], False),
    ],
)
def test_colours_are_forced_or_forbidden(
    line: CommandLine, environment: dict[str, str], words: list[str], is_coloured: bool
) -> None:
    assert (RED in line.run("plan", *words, environment=environment).out) is is_coloured


def test_a_variable_says_what_debug_and_trace_http_say(line: CommandLine) -> None:
    traced = "GET /v1/apps/app/machines -> 404"
    assert traced not in line.run("plan").err
    for value in ("http", "debug,http", "http debug"):
        assert traced in line.run("plan", environment={"RECONCILER_LOG": value}).err
    assert "Traceback" in line.run("wait", "nosuch", environment={"RECONCILER_LOG": "debug"}).err
    ended = line.run("plan", environment={"RECONCILER_LOG": "verbose"})
    assert (ended.code, "'verbose'; it takes debug and http" in ended.err) == (64, True)
    assert line.run("plan", environment={"RECONCILER_LOG": ""}).code == 0


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["apply", "--approve"], "--auto-approve"),
        (["apply", "--auto-aprove"], "--auto-approve"),
        (["destroy", "--noinput"], "--no-input"),
        (["apply", "--dryrun"], "--dry-run"),
        (["plan", "--norevision"], "--no-revision"),
        (["help", "aply"], "apply"),
        (["help", "engine", "strat"], "start"),
    ],
)
def test_a_misspelt_word_is_a_usage_error_with_the_nearest(line: CommandLine, words: list[str], near: str) -> None:
    ended = line.run(*words)
    assert ended.code == 64
    assert f"'{near}'" in ended.err


def test_help_is_that_of_the_verb(line: CommandLine) -> None:
    assert line.run("help", "engine", "run").out == line.run("engine", "run", "--help").out
    assert "Commands:" in line.run("help").out
    assert line.run("help", "plan", "more").code == 64


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "-f", ""],
        ["plan", "-C", ""],
        ["plan", "--json-into", ""],
        ["apply", "--yes", "--events", ""],
        ["--target", "", "apply", "--yes"],
    ],
    ids=" ".join,
)
def test_a_name_that_is_empty_is_no_default(line: CommandLine, words: list[str]) -> None:
    ended = line.run(*words)
    assert (ended.code, "it is empty: is a variable not set?" in ended.err) == (64, True)
    assert json.loads(line.run("plan", "--json").out)["counts"]["create"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "--allow-destroy", "many"], "'many' is not a whole number of 0 or more"),
        (["plan", "--allow-destroy", ""], "'' is not a whole number of 0 or more"),
        (["plan", "--revision", "-1"], "'-1' is not a whole number of 0 or more"),
        (["apply", "--parallelism", "0"], "'0' is not a whole number from 1 to 100"),
        (["engine", "run", "--port", "65536"], "'65536' is not a whole number from 0 to 65535"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_no_number_is_called_so(line: CommandLine, words: list[str], said: str) -> None:
    ended = line.run(*words)
    assert (ended.code, said in ended.err) == (64, True), ended.err
