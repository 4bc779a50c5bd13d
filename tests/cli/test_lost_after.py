"""`--lost-after`, of every command that waits for a run: 122, and how the run is found again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import prepare_home, start_engine, stop_engine
from tests.support.environment import clear_environment
from tests.support.reflecting import Reflecting, reflecting

pytestmark = pytest.mark.slow

TOKEN = "token-of-the-engine"
SPEC = """
version: 1
name: stack
apps:
  app:
    image: i
    tasks:
      work: {command: [sleep, "1000"]}
"""


@dataclass
class Started:
    """A run that goes on, seen by a platform that may be away."""

    server: Reflecting
    capsys: pytest.CaptureFixture[str]
    run_id: str = ""

    def go_away(self, *, after: str) -> None:
        """From the request after the one with this in its line, every answer is 503."""
        is_away = False

        def fails(_number: int, line: str) -> int | None:
            nonlocal is_away
            was_away, is_away = is_away, is_away or after in line
            return 503 if was_away else None

        self.server.fails = fails

    def come_back(self) -> None:
        self.server.fails = lambda _number, _line: None


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Started]:
    clear_environment(monkeypatch)
    home = tmp_path / "home"
    monkeypatch.setenv("RECONCILER_HOME", str(home))
    monkeypatch.setenv("FLY_API_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "machines.yaml").write_text(SPEC)
    prepare_home(home)
    (home / "token").write_text(TOKEN + "\n")
    with reflecting(str(start_engine(home).url)) as server:
        monkeypatch.setenv("RECONCILER_TARGET", server.url)
        assert run(["apply", "--yes"]) == 0
        yield Started(server, capsys)
    stop_engine(home)


@pytest.mark.parametrize("verb", ["wait", "logs --follow"])
def test_a_command_that_waits_for_a_run_gives_it_up(started: Started, verb: str) -> None:
    assert run(["invoke", "work", "--no-wait", "-o", "json"]) == 0
    assert run(["runs"]) == 0
    run_id = next(word for word in started.capsys.readouterr().out.split() if word.startswith("work-iad-0/"))
    started.go_away(after="/events")  # the look at which run it is
    assert run([*verb.split(), run_id, "--lost-after", "1s"]) == 122
    assert f"`reconciler wait {run_id}`" in started.capsys.readouterr().err


@pytest.mark.parametrize("verb", ["wait", "logs --follow"])
def test_a_run_is_sought_while_the_platform_is_away(started: Started, verb: str) -> None:
    assert run(["invoke", "work", "--no-wait"]) == 0
    run_id = next(word for word in started.capsys.readouterr().err.split() if word.startswith("work-iad-0/")).strip(":")
    started.server.fails = lambda _number, _line: 503
    assert run([*verb.split(), run_id, "--lost-after", "1s"]) == 122
    assert f"`reconciler wait {run_id}`" in started.capsys.readouterr().err
    started.come_back()


def test_an_invoke_gives_its_run_up(started: Started) -> None:
    started.go_away(after="DELETE /v1/apps/app/machines/")  # the release of the lease, after the start
    assert run(["invoke", "work", "--lost-after", "1s"]) == 122
    told = started.capsys.readouterr().err
    started.come_back()
    assert run(["runs"]) == 0
    run_id = started.capsys.readouterr().out.split("\n")[1].split()[0]
    assert f"`reconciler wait {run_id}`" in told
