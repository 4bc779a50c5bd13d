"""The file that plans of many apps remember in: whatever is wrong with it, the plan is right."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.cli.plan_memory import PlanMemory, memory_file, recall, remember
from reconciler.engine.server.daemon import stop_engine
from reconciler.planner.plan_cache import Known
from tests.support.environment import clear_environment

APPS = 20
MEMORY = PlanMemory(apps={"a": {"m1": Known("v1", "1:d")}, "b": {}}, pages=3)


def test_what_is_remembered_is_recalled_by_the_same_version(tmp_path: Path) -> None:
    file = tmp_path / "new" / "memory.json"
    remember(file, MEMORY, version="1")
    assert recall(file, version="1") == MEMORY
    assert recall(file, version="2") == PlanMemory()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [*file.parent.iterdir()] == [file]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        '{"version": "1"}',
        '{"version": "1", "pages": 1, "apps": []}',
        '{"version": "1", "pages": 1, "apps": {"a": 1}}',
        '{"version": "1", "pages": 1, "apps": {"a": {"m": 1}}}',
        '{"version": "1", "pages": 1, "apps": {"a": {"m": ["v"]}}}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_a_file_that_is_no_memory_is_as_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "memory.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert recall(file, version="1") == PlanMemory()


def test_what_is_no_file_is_as_none(tmp_path: Path) -> None:
    assert recall(tmp_path, version="1") == PlanMemory()
    assert recall(tmp_path / "none", version="1") == PlanMemory()
    remember(tmp_path / "none" / "memory.json", MEMORY, version="1")
    (tmp_path / "file").touch()
    remember(tmp_path / "file" / "memory.json", MEMORY, version="1")
    remember(Path("/proc/none/memory.json"), MEMORY, version="1")


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def place(**environment: str) -> str:
        file = memory_file(environment, api="https://api.example", stack="s")
        return str(file and file.parent)

    monkeypatch.setenv("HOME", "/home/me")
    assert place() == "/home/me/.cache/reconciler/plans"
    assert place(XDG_CACHE_HOME="/c") == "/c/reconciler/plans"
    assert place(XDG_CACHE_HOME="/c", RECONCILER_CACHE="~/d") == "/home/me/d/plans"
    assert place(RECONCILER_CACHE="off") == "None"
    names = {memory_file({}, api=api, stack=stack) for api in ("a", "b") for stack in ("s", "t")}
    assert len(names) == 4


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Twenty apps, applied and planned once."""
    clear_environment(monkeypatch)
    for name, value in {"HOME": "h", "CACHE": "cache"}.items():
        monkeypatch.setenv(f"RECONCILER_{name}", str(tmp_path / value))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    monkeypatch.chdir(tmp_path)
    write_spec()
    try:
        assert run(["apply", "--yes"]) == 0
        assert run(["plan"]) == 0
        yield tmp_path
    finally:
        stop_engine(tmp_path / "h")


def write_spec() -> None:
    apps = "".join(f"  app-{n}: {{image: i, tasks: {{t: {{command: [echo, '1']}}}}}}\n" for n in range(APPS))
    Path("machines.yaml").write_text(f"version: 1\nname: many\napps:\n{apps}")


def calls(capfd: pytest.CaptureFixture[str], *arguments: str) -> int:
    """How many calls a plan takes that finds nothing to do."""
    capfd.readouterr()
    assert run(["plan", "--detailed-exitcode", "--trace-http", *arguments]) == 0
    said = capfd.readouterr()
    assert "No changes. " in said.out
    return said.err.count(" -> ")


def test_the_second_plan_takes_one_call(stack: Path, capfd: pytest.CaptureFixture[str]) -> None:
    [file] = (stack / "cache" / "plans").iterdir()
    assert len(json.loads(file.read_text())["apps"]) == APPS
    assert calls(capfd) == 1
    # What is reviewed or saved, and what is a part, rests on no memory and leaves it as it is.
    assert calls(capfd, "--out", "saved") == APPS
    assert calls(capfd, "--only", "t") == APPS
    assert calls(capfd, "-a", "app-1") == 1
    assert calls(capfd) == 1


def test_an_apply_lists_every_app(stack: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert run(["apply", "--yes", "--trace-http"]) == 0
    assert capfd.readouterr().err.count("/machines -> 200") == APPS


def make_garbage(file: Path) -> None:
    file.write_bytes(os.urandom(1000))


def make_a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def take_the_directory(file: Path) -> None:
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("no directory")


@pytest.mark.parametrize(
    ("damage", "then"),
    [(make_garbage, 1), (make_a_directory, APPS), (take_the_directory, APPS)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_memory_costs_calls_and_nothing_else(
    stack: Path, capfd: pytest.CaptureFixture[str], damage: Callable[[Path], None], then: int
) -> None:
    [file] = (stack / "cache" / "plans").iterdir()
    damage(file)
    assert calls(capfd) == APPS
    assert calls(capfd) == then


def test_off_is_off(stack: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_CACHE", "off")
    assert calls(capfd) == APPS
