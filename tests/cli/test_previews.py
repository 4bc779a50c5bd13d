"""A preview by the command line: a stack of its own is made, changed, shown, and removed with its app."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import start_engine, stop_engine
from tests.support.environment import clear_environment
from tests.support.ports import free_port
from tests.support.terminal import Terminal

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: shop-${RECONCILER_ENVIRONMENT}
apps:
  shop:
    name: shop-${RECONCILER_ENVIRONMENT}
    image: i
    env: {ENVIRONMENT: "${RECONCILER_ENVIRONMENT}"}
    services:
      web: {command: [sleep, '1000'], ports: [PORT], rollout: {min_healthy: 0s}}
"""


class Command:
    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capsys = capsys

    def __call__(self, verb: str, *arguments: str, code: int = 0) -> str:
        """What the command says on both streams."""
        ended = run([verb, "-C", str(self.directory), *arguments])
        captured = self._capsys.readouterr()
        assert ended == code, (ended, captured)
        return captured.out + captured.err

    def json(self, verb: str, *arguments: str) -> dict[str, Any]:
        run([verb, "-C", str(self.directory), "-o", "json", *arguments])
        return dict(json.loads(self._capsys.readouterr().out))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    (tmp_path / "machines.yaml").write_text(SPEC.replace("PORT", str(free_port())))
    start_engine(tmp_path / "home")
    yield Command(tmp_path, capsys)
    stop_engine(tmp_path / "home")


def test_it_is_made_changed_and_removed_with_its_address_beside_another(command: Command) -> None:
    report = command.json("apply", "--environment", "pr-7", "--yes")
    assert (report["stack"], report["environment"], report["success"]) == ("shop-pr-7", "pr-7", True)
    assert list(report["urls"]) == ["shop-pr-7"]
    assert report["urls"]["shop-pr-7"][0].startswith("http://127.0.0.1")
    command("apply", "--environment", "pr-8", "--yes")
    assert "No changes" in command("plan", "--environment", "pr-7")
    status = command.json("status", "--environment", "pr-7")
    assert (status["stack"], status["environment"], status["target"]) == ("shop-pr-7", "pr-7", "local")
    assert {row["app"] for row in status["slots"]} == {"shop-pr-7"}

    events = str(command.directory / "events")
    said = command("destroy", "--environment", "pr-7", "--delete-apps", "--yes", "--events", events)
    types = [json.loads(line)["type"] for line in Path(events).read_text().splitlines()]
    assert types == ["planned", "started", "done", "app_deleted", "summary"]
    assert re.search(r"- delete app shop-pr-7  \(with it go: shared_v4 \S+, v6 \S+\)", said)
    assert "app shop-pr-7 deleted" in said
    again = command("destroy", "--environment", "pr-7", "--delete-apps", "--yes")
    assert "Nothing to destroy: stack shop-pr-7 has no machine." in again
    assert "No changes" not in again
    assert "Plan hash" not in said, "destroy takes none"
    for verb in ("runs", "unlock"):
        found = command.json(verb, "--environment", "pr-7")
        assert (found["stack"], found["environment"]) == ("shop-pr-7", "pr-7")
    assert command.json("destroy", "--environment", "pr-7", "--delete-apps", "--yes")["success"]
    assert "No changes" in command("plan", "--environment", "pr-8")


def test_its_name_is_typed_or_nothing_is_removed(command: Command) -> None:
    command("apply", "--environment", "pr-7", "--yes")
    command("destroy", "--environment", "pr-7", "--yes")
    line = [sys.executable, "-m", "reconciler.cli", "destroy", "--environment", "pr-7", "--delete-apps"]
    refused = subprocess.run(line, cwd=command.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "no terminal" in refused.stderr

    def asked() -> Terminal:
        asking = Terminal(command.directory, "destroy", "--environment", "pr-7", "--delete-apps")
        asking.read_until("This removes 1 app. Type the stack's name (shop-pr-7) to go on:")
        return asking

    asking = asked()
    asking.type("shop\n")
    assert asking.end() == 1
    assert "nothing was changed" in asking.shown
    asking = asked()
    asking.process.send_signal(signal.SIGINT)
    assert asking.end() == 130
    asking = asked()
    asking.type("shop-pr-7\n")
    assert asking.end() == 0
    assert "app shop-pr-7 deleted" in asking.shown


def test_whole_apps_are_removed_or_none(command: Command) -> None:
    said = command("destroy", "--environment", "pr-7", "--delete-apps", "--only", "web", "--yes", code=64)
    assert "does not go with --only" in said
