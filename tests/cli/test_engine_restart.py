"""An invoke whose local engine is killed and started again: found at its home, it tells the run's end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import start_engine, stop_engine
from reconciler.targets import resolve_target
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: stack
apps:
  app:
    image: i
    tasks:
      work: {command: [sh, -c, "echo ready; sleep 1000"]}
"""
COMMAND = [sys.executable, "-m", "reconciler.cli"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    clear_environment(monkeypatch)
    home = tmp_path / "home"
    monkeypatch.setenv("RECONCILER_HOME", str(home))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "machines.yaml").write_text(SPEC)
    yield home
    stop_engine(home)


def test_an_invoke_finds_the_engine_that_was_started_again_at_its_new_port(home: Path) -> None:
    assert run(["apply", "--yes"]) == 0
    before = start_engine(home)
    assert before.pid
    invoking = subprocess.Popen([*COMMAND, "invoke", "work"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert invoking.stdout
    assert invoking.stdout.readline() == "ready\n"
    os.kill(before.pid, signal.SIGKILL)
    os.waitpid(before.pid, 0)
    after = start_engine(home)
    assert after.url != before.url
    _output, said = invoking.communicate(timeout=60)
    # What becomes of a run is the engine's to say: of one that it was killed under it knows no code.
    assert "the engine was killed while this ran" in said
    assert invoking.returncode == 122


def test_the_local_target_knows_where_its_engine_serves_now(home: Path) -> None:
    local = resolve_target(os.environ).local
    assert local
    assert local.find_url() == start_engine(home).url
    assert local.start == "reconciler engine start --runtime process"
    stop_engine(home)
    assert local.find_url() is None
    assert local.find_url() != start_engine(home).url == local.find_url()
