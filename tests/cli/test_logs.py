"""`reconciler logs RUN|TASK`: what it shows, and how it ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from reconciler.cli.main import run
from reconciler.slots.actor import Actor
from reconciler.testing.virtual_time import run_virtually
from tests.support.environment import clear_environment
from tests.support.log_endpoint import BAD_ANSWERS, LogEndpoint
from tests.support.world import open_world, spec_of

SPEC = """
version: 1
name: s
apps: {app: {image: i, tasks: {t: {command: [say, one, run, '10', say, two, exit, '3']}}}}
"""


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How the log endpoint will answer once the task runs, and how often; the verbs run in a world with one run."""
    clear_environment(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "machines.yaml").write_text(SPEC)
    monkeypatch.setattr("reconciler.cli.logs.run_async", run_virtually)
    monkeypatch.setattr("reconciler.cli.logs.resolve", lambda _options: SimpleNamespace(log_delay_s=0.0))
    wanted: dict[str, int] = {}

    @asynccontextmanager
    async def open_actor(*_arguments: object) -> AsyncIterator[Actor]:
        async with open_world() as world:
            spec = spec_of(SPEC)
            await world.apply(spec)
            await world.invoke(spec, is_waiting=False)
            endpoint = LogEndpoint(world)
            for name, times in wanted.items():
                endpoint.strike(BAD_ANSWERS[name], times=times)
            yield world.actor

    monkeypatch.setattr("reconciler.cli.logs.open_actor", open_actor)
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
