"""`reconciler logs RUN|TASK`: what it shows, and how it ends."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.main import run
from reconciler.operations.session import Session
from reconciler.testing.virtual_time import run_virtually
from tests.support.environment import clear_environment
from tests.support.log_endpoint import BAD_ANSWERS, LogEndpoint
from tests.support.schemas import strict
from tests.support.world import open_world, spec_of

SPEC = """
version: 1
name: s
apps: {app: {image: i, tasks: {t: {command: [say, one, run, '10', say, two, exit, '3']%s}}}}
"""
RESTARTED = ", restart: {policy: on-failure, max_retries: 1}"
SCHEMA = Path(__file__).parents[2] / "schemas" / "log-line.schema.json"


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How the log endpoint will answer once the task runs, and how often; the verbs run in a world with one run."""
    return world_with_a_run(SPEC % "", tmp_path, monkeypatch)


def world_with_a_run(
    text: str, directory: Path, monkeypatch: pytest.MonkeyPatch, *, age_s: float = 0
) -> dict[str, int]:
    """Lets each verb find a world of its own, in which a run of the spec is so old."""
    clear_environment(monkeypatch)
    monkeypatch.chdir(directory)
    (directory / "machines.yaml").write_text(text)
    monkeypatch.setattr("reconciler.cli.commands.logs.run_async", run_virtually)
    monkeypatch.setattr("reconciler.cli.commands.logs.resolve", lambda _options: SimpleNamespace(log_delay_s=0.0))
    wanted: dict[str, int] = {}

    @asynccontextmanager
    async def open_session(*_arguments: object) -> AsyncIterator[Session]:
        async with open_world() as world:
            spec = spec_of(text)
            await world.apply(spec)
            await world.invoke(spec, is_waiting=False)
            await world.context.clock.sleep(age_s)
            endpoint = LogEndpoint(world)
            for name, times in wanted.items():
                endpoint.strike(BAD_ANSWERS[name], times=times)
            yield world.session

    monkeypatch.setattr("reconciler.cli.commands.logs.open_session", open_session)
    return wanted


@pytest.mark.parametrize(("flags", "lines"), [((), ["one"]), (("--follow",), ["one", "two"])])
def test_one_bad_answer_is_no_error(
    bad: dict[str, int], flags: tuple[str, ...], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    bad["401"] = 1
    assert run(["logs", "t", *flags]) == 0
    shown = capsys.readouterr()
    assert (shown.out.splitlines(), shown.err) == (lines, "")


@pytest.mark.parametrize("name", sorted(BAD_ANSWERS))
@pytest.mark.parametrize("flags", [(), ("--follow",)])
def test_a_log_that_cannot_be_read_is_an_error(
    bad: dict[str, int], name: str, flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    bad[name] = 1000
    assert run(["logs", "t", *flags]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "is incomplete: its log cannot be read" in shown.err


@pytest.mark.parametrize(("age_s", "flags"), [(60, ()), (0, ("--follow",)), (15, ("--follow",))])
def test_the_attempts_of_a_run_are_told_apart(
    age_s: float,
    flags: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world_with_a_run(SPEC % RESTARTED, tmp_path, monkeypatch, age_s=age_s)
    assert run(["logs", "t", *flags]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["one", "two"] * 2
    assert shown.err == "--- attempt 2: started again by the platform ---\n"


def test_programs_get_the_attempt_of_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world_with_a_run(SPEC % RESTARTED, tmp_path, monkeypatch, age_s=60)
    assert run(["logs", "t", "-o", "json"]) == 0
    shown = capsys.readouterr()
    lines = [json.loads(line) for line in shown.out.splitlines()]
    for line in lines:
        Draft202012Validator(strict(json.loads(SCHEMA.read_text()))).validate(line)
    assert [(line["attempt"], line["message"]) for line in lines] == [(1, "one"), (1, "two"), (2, "one"), (2, "two")]
    assert {line["run"].partition("/")[0] for line in lines} == {"t-iad-0"}
    assert shown.err == ""
