"""`status --watch` on virtual time: it redraws in place, keeps its last screen, and is for a terminal alone."""

import asyncio
import io
import json
from collections.abc import Iterator
from os import terminal_size
from pathlib import Path

import pytest

from reconciler.cli.ui.screen import Screen
from reconciler.cli.ui.watch import View, Watch
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.testing.virtual import VirtualEngine
from reconciler.testing.virtual_time import VirtualClock, run_virtually
from tests.support.command_line import CommandLine
from tests.support.world import app_text

SPEC = app_text("    tasks:\n      work: {command: [exit, '0'], count: 2}\n")
AWAY = ApiError("connection refused", kind=ApiErrorKind.UNREACHABLE)


class Writes(io.StringIO):
    """A terminal that keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.all.append(text)
        return len(text)


def lines_of(write: str) -> list[str]:
    """The lines of one drawing, without what moves the cursor before them and erases behind them."""
    _, _, rest = write.rpartition("\r") if write.startswith("\x1b[") and "A\r" in write else ("", "", write)
    assert rest.endswith("\x1b[J")
    return rest.removesuffix("\x1b[J").replace("\x1b[K\n", "\n").split("\n")[:-1]


def watched(answers: list[list[str] | ApiError], size: tuple[int, int] = (80, 24)) -> tuple[list[str], BaseException]:
    """What was written for one read after the other, and what ended it."""
    stream = Writes()
    left: Iterator[list[str] | ApiError] = iter(answers)
    clock = VirtualClock()

    async def read() -> View:
        answer = next(left, None)
        if answer is None:
            raise asyncio.CancelledError
        if isinstance(answer, ApiError):
            watch.hear("asking again")
            raise answer
        return lambda now: [*answer, f"{now:%S}"]

    watch = Watch(Screen(stream, lambda: terminal_size(size)), clock, interval_s=2.0, say=lambda line: None)
    with pytest.raises((ApiError, asyncio.CancelledError)) as ended:
        run_virtually(watch.run(read))
    return stream.all, ended.value


def test_each_state_is_drawn_over_the_last_in_one_write() -> None:
    first, second = watched([["one", "more"], ["two"]])[0]
    assert lines_of(first) == ["one", "more", "00", "", "00:00:00 UTC, every 2s; Ctrl-C ends it"]
    assert second.startswith("\x1b[5A\r")
    assert lines_of(second) == ["two", "02", "", "00:00:02 UTC, every 2s; Ctrl-C ends it"]


def test_the_last_screen_stays_while_nothing_answers() -> None:
    writes, _ = watched([["one"], AWAY, AWAY, ["two"]])
    heard, away = lines_of(writes[1]), lines_of(writes[4])
    assert heard == ["one", "02", "", "asking again", "00:00:02 UTC, every 2s; Ctrl-C ends it"]
    assert away[:2] == ["one", "04"]
    assert away[3] == "not read since 00:00:02 UTC: connection refused; trying again"
    assert lines_of(writes[5])[0] == "two"
    assert "connection refused" not in writes[5]


def test_a_first_read_that_fails_ends_it() -> None:
    assert watched([AWAY]) == ([], AWAY)


def test_what_does_not_fit_is_cut_and_counted() -> None:
    [only] = watched([[f"line {number}, a long one" for number in range(9)]], size=(15, 5))[0]
    assert lines_of(only) == ["line 0,…ong one", "line 1,…ong one", "line 2,…ong one", "… and 9…e lines"]


@pytest.mark.parametrize(
    ("words", "terminal", "environment", "why"),
    [
        (["--watch"], False, {}, "--watch redraws a terminal, and this is none"),
        (["--watch"], True, {"TERM": "dumb"}, "--watch redraws a terminal, and this is none"),
        (["--watch", "-o", "json"], True, {}, "--watch shows text"),
        (["--watch", "--interval", "10ms"], True, {}, "--interval is at least 1s"),
        (["--interval", "5s"], True, {}, "--interval goes with --watch"),
    ],
)
def test_what_it_is_not_for_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    terminal: bool,
    environment: dict[str, str],
    why: str,
) -> None:
    (tmp_path / "machines.yaml").write_text(SPEC)
    monkeypatch.setattr("reconciler.cli.ui.console.is_terminal", lambda _stream: terminal)
    with VirtualEngine() as engine:
        ended = CommandLine(engine, engine.transport, tmp_path).run("status", *words, environment=environment)
    assert ended.code == 64
    assert (json.loads(ended.out)["error"]["exit_code"] == 64) if "json" in words else (ended.out == "")
    assert why in ended.err


def test_ctrl_c_ends_it_with_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "machines.yaml").write_text(SPEC)
    monkeypatch.setattr("reconciler.cli.ui.console.is_terminal", lambda _stream: True)

    with VirtualEngine() as engine:
        line = CommandLine(engine, engine.transport, tmp_path)
        assert line.run("apply", "--yes", "--no-revision").code == 0
        drawn = []

        def draw(_screen: Screen, lines: list[str]) -> None:
            drawn.append(lines)
            raise KeyboardInterrupt

        monkeypatch.setattr(Screen, "draw", draw)
        ended = line.run("status", "--watch", environment={"TERM": "xterm", "NO_COLOR": "1"})
    assert (ended.code, ended.err) == (0, "")
    assert drawn[0][1:3] == ["POOL  KIND  READY  RUNNING", "work  task  2/2    0"]


def test_status_tells_what_someone_else_changed(tmp_path: Path) -> None:
    (tmp_path / "machines.yaml").write_text(SPEC)
    with VirtualEngine() as engine:
        line = CommandLine(engine, engine.transport, tmp_path)
        assert line.run("apply", "--yes", "--no-revision").code == 0
        http = engine.client()
        machine = http.get("/apps/app/machines").json()[0]
        config = machine["config"] | {"env": {"BY": "hand"}}
        body = {"config": config, "skip_launch": True}
        http.post(f"/apps/app/machines/{machine['id']}", json=body).raise_for_status()
        assert "1 changed by someone else" in line.run("status").out
        (tmp_path / "machines.yaml").write_text(SPEC.replace("'0'", "'1'"))
        assert "1 changed by someone else; 1 differs from the spec" in line.run("status").out
