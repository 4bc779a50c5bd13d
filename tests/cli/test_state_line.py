"""On a terminal `invoke` says at once that it starts, and ends in one line; in a pipe it is as before."""

import sys
from collections.abc import Iterator

import httpx
import pytest

from reconciler.cli.ui import streams
from reconciler.testing.virtual import VirtualEngine
from tests.support.command_line import CommandLine
from tests.support.world import app_text

SPEC = app_text("    tasks:\n      work: {command: [exit, '0']}\n      bad: {command: [exit, '3']}\n")
TERMINAL = {"TERM": "xterm", "NO_COLOR": "1"}
ERASE = "\r\x1b[K"


class Spy(httpx.AsyncBaseTransport):
    """Notes what stands on stderr when the first request is sent."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.before: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.before.append(streams.innermost(sys.stderr).getvalue())  # type: ignore[union-attr]
        return await self._inner.handle_async_request(request)


@pytest.fixture(scope="module")
def spied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CommandLine, Spy]]:
    directory = tmp_path_factory.mktemp("invoke")
    (directory / "machines.yaml").write_text(SPEC)
    with VirtualEngine() as engine:
        spy = Spy(engine.transport)
        line = CommandLine(engine, spy, directory)
        assert line.run("apply", "--yes", "--no-revision").code == 0
        yield line, spy


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.cli.ui.console.is_terminal", lambda _stream: True)


@pytest.mark.usefixtures("terminal")
def test_it_says_that_it_starts_before_anything_is_sent(spied: tuple[CommandLine, Spy]) -> None:
    line, spy = spied
    spy.before.clear()
    ended = line.run("invoke", "work", environment=TERMINAL)
    assert spy.before[0] == f"{ERASE}work: starting…"
    begun, started, told = ended.err.split(ERASE)[1:]
    assert (ended.code, begun, started) == (0, "work: starting…", "work-iad-0: started")
    assert told.startswith("work-iad-0/")
    assert ": succeeded (exit code 0) in " in told
    assert told.count("\n") == 1


@pytest.mark.usefixtures("terminal")
def test_a_failure_is_one_line_in_red(spied: tuple[CommandLine, Spy]) -> None:
    ended = spied[0].run("invoke", "bad", environment={"TERM": "xterm"})
    last = ended.err.rpartition(ERASE)[2]
    assert ended.code == 3
    assert last.startswith("\x1b[31mbad-iad-0/")
    assert ": failed (exit code 3) in " in last
    assert last.endswith("\x1b[0m\n")


@pytest.mark.usefixtures("terminal")
def test_wait_ends_in_the_same_line(spied: tuple[CommandLine, Spy]) -> None:
    line, _ = spied
    last = line.run("invoke", "bad", "-v", environment=TERMINAL).err.splitlines(keepends=True)[-1]
    waited = line.run("wait", last.partition(":")[0], "-v", environment=TERMINAL)
    assert (waited.code, waited.err, waited.out) == (3, last, "")


@pytest.mark.usefixtures("terminal")
def test_an_error_takes_the_place_of_the_state(spied: tuple[CommandLine, Spy]) -> None:
    ended = spied[0].run("invoke", "none", environment=TERMINAL)
    assert (ended.code, ended.err.split(ERASE)[1]) == (125, "none: starting…")
    assert ended.err.split(ERASE)[2].startswith("error: machines.yaml has no task 'none'")


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        ([], {"TERM": "dumb"}),
        ([], {"TERM": "xterm", "CI": "true"}),
        (["-o", "json"], {"TERM": "xterm"}),
        (["--debug"], {"TERM": "xterm"}),
    ],
)
@pytest.mark.usefixtures("terminal")
def test_a_line_that_cannot_be_erased_is_not_shown(
    spied: tuple[CommandLine, Spy], words: list[str], environment: dict[str, str]
) -> None:
    ended = spied[0].run("invoke", "work", *words, environment=environment)
    assert (ended.code, ended.err) == (0, "work-iad-0: started\n")


def test_a_pipe_has_only_what_is_news(spied: tuple[CommandLine, Spy]) -> None:
    assert spied[0].run("invoke", "work", environment={"TERM": "xterm"})[1:] == ("", "")
    ended = spied[0].run("invoke", "bad", environment={"TERM": "xterm"})
    assert ended.err.endswith(": exited 3\n")
    assert "\x1b" not in ended.err
