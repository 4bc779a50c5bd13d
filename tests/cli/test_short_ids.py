"""A run is named by any beginning of its id that is its own, wherever a run is named; and `runs` is narrowed down."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine
from tests.support.world import app_text

SPEC = app_text(
    "    tasks:\n"
    "      work: {command: [exit, '3'], count: 1}\n"
    "      good: {command: [exit, '0']}\n"
    "      slow: {command: [run, '3600']}\n"
)


class Line(CommandLine):
    """A stack with runs."""

    def __init__(self, engine: VirtualEngine, directory: Path) -> None:
        super().__init__(engine, engine.transport, directory)
        assert self.run("apply", "--yes", "--no-revision").code == 0
        self.work = self.invoke("work")
        self.good = self.invoke("good")
        self.again = self.invoke("work")
        self.slow = self.run("invoke", "slow", "--no-wait").out.strip()

    def invoke(self, task: str) -> str:
        return str(json.loads(self.run("invoke", task, "-o", "json").out)["run"])

    def listed(self, *words: str) -> list[dict[str, Any]]:
        return list(json.loads(self.run("runs", *words, "-o", "json").out)["runs"])


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    directory = tmp_path_factory.mktemp("runs")
    (directory / "machines.yaml").write_text(SPEC)
    with VirtualEngine() as engine:
        yield Line(engine, directory)


def unlike(one: str, other: str, *, has_slot: bool) -> str:
    """The shortest beginning of an id that is not that of the other."""
    length = next(at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]) + 1
    return one[:length] if has_slot else one[:length].rpartition("/")[2]


def test_wait_and_logs_take_a_beginning(line: Line) -> None:
    short = unlike(line.work, line.again, has_slot=True)
    ended = line.run("wait", short)
    assert (ended.code, ended.err.split(":")[0]) == (3, line.work)
    bare = line.work.rpartition("/")[2][:24]
    assert line.run("wait", bare.lower()).code == 3
    assert line.run("logs", short).code == line.run("logs", bare).code == line.run("logs", "--follow", bare).code == 0


def test_one_that_begins_several_is_an_error_that_lists_them(line: Line) -> None:
    for verb, code in (("wait", 125), ("logs", 1), ("cancel", 1)):
        ended = line.run(verb, "work-iad-0/0")
        assert ended.code == code
        assert "'work-iad-0/0' is the beginning of 2 runs' ids: " in ended.err
        assert line.work in ended.err
        assert line.again in ended.err


def test_the_beginning_of_no_run_is_an_error(line: Line) -> None:
    assert "there is no run 01ZZZZ" in line.run("wait", "01ZZZZ").err
    assert "'nothing' is not a run's id" in line.run("wait", "nothing").err


def test_cancel_takes_a_beginning(line: Line) -> None:
    ended = line.run("cancel", line.slow[:-3])
    assert ended.code == 0
    assert ended.err.startswith(f"{line.slow}: ")


def test_runs_are_narrowed_down(line: Line) -> None:
    assert {run["run"] for run in line.listed("--failed")} >= {line.work, line.again}
    assert line.good not in {run["run"] for run in line.listed("--failed")}
    assert {run["run"] for run in line.listed("--since", "1d")} == {line.work, line.good, line.again, line.slow}
    assert line.listed("good", "--failed") == []
    assert line.run("runs", "good", "--failed").out == "No such runs found.\n"
    assert line.listed("--since", "2030-01-01") == []
    assert len(line.listed("--since", "2026-01-01T00:00+00:00")) == 4
    assert line.run("runs", "--since", "yesterday").code == 64


def test_a_pipe_and_json_have_whole_ids(line: Line) -> None:
    assert line.work in line.run("runs").out
    assert line.work in {run["run"] for run in line.listed()}
