"""`engine start` goes without click where nothing but these two words says how, and nobody sees a difference."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.commands import engine
from reconciler.cli.quick_start import start_quickly
from reconciler.engine.server.daemon import engine_status, stop_engine
from tests.support.environment import clear_environment

BY_CLICK = "import os, sys; from reconciler.cli.main import run; os._exit(run(sys.argv[1:]))"
STARTED = "import sys; from reconciler.cli.__main__ import main; main()"
HEAVY = {"asyncio", "click", "dataclasses", "inspect", "msgspec", "reconciler.cli.main", "reconciler.errors", "sqlite3"}

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    stop_engine(tmp_path / "home")


def said(program: str, *flags: str, stderr: int = subprocess.PIPE) -> tuple[int, str, str]:
    """How the command ends in a process of its own, and what it writes."""
    line = [sys.executable, *flags, "-c", program, "engine", "start"]
    ended = subprocess.run(line, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60)
    return ended.returncode, ended.stdout, ended.stderr or ""


def test_it_imports_little_and_says_what_click_says(home: Path) -> None:
    code, stdout, stderr = said(STARTED, "-X", "importtime")
    *imports, line = stderr.splitlines()
    imported = {row.rpartition("|")[2].strip() for row in imports}
    assert (code, stdout, imported & HEAVY) == (0, "", set())
    assert "reconciler.cli.quick_start" in imported
    status = engine_status(home)
    assert line == f"the engine serves {status.url} (pid {status.pid})"
    assert said(STARTED) == said(BY_CLICK) == (0, "", f"{line}\n")  # it runs already


def test_why_it_does_not_start_is_told_once_and_as_by_click(home: Path) -> None:
    home.write_text("a file")
    assert said(STARTED) == said(BY_CLICK)
    code, _, stderr = said(STARTED)
    assert code == 1
    assert stderr.count("the local engine does not start") == 1


def test_a_line_that_nobody_can_write_fails_it(home: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert said(STARTED, stderr=full) == said(BY_CLICK, stderr=full) == (1, "", "")
    finally:
        os.close(full)
    assert engine_status(home).running


@pytest.mark.parametrize("name", ["RECONCILER_LOG", "RECONCILER_RUNTIME"])
def test_what_a_variable_says_is_read_by_click(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "nosuch")
    assert start_quickly() is None
    assert said(STARTED) == said(BY_CLICK)
    assert said(STARTED)[0] == 64
    assert not home.exists()


def test_every_variable_of_its_options_is_left_to_click(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {option.envvar for option in engine.start.params if getattr(option, "envvar", None)}
    assert named == {"RECONCILER_RUNTIME"}
    for name in named:
        monkeypatch.setenv(str(name), "process")
        assert start_quickly() is None
    assert not home.exists()
