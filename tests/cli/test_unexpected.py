"""An error that nobody expected, at one machine or app of many: the others are shown, and the verb ends 1."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import stop_engine
from reconciler.machines_api.client import MachinesClient
from reconciler.machines_api.leases import Leases
from reconciler.machines_api.lists import MachineLists
from reconciler.machines_api.logs import Logs
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: stack
apps:
  app:
    image: i:1
    tasks:
      work: {command: ['true'], count: 2}
    services:
      web: {command: [sh, -c, 'echo up; exec sleep 1000'], count: 2, rollout: {min_healthy: 0s}}
  other:
    image: i:1
    tasks:
      job: {command: ['true']}
"""

Break = Callable[[str, Callable[..., bool]], None]
PARTS: dict[str, type] = {"": MachinesClient, "leases": Leases, "lists": MachineLists, "logs": Logs}  # of the client


class BugError(Exception):
    """An error that nobody expected."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("unexpected")
    yield folder
    stop_engine(folder / "home")


@pytest.fixture
def broken(home: Path, monkeypatch: pytest.MonkeyPatch) -> Break:
    """Lets the named call of the client fail where `is_hit` says so of its arguments. The spec is applied."""
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(home / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    monkeypatch.chdir(home)
    (home / "machines.yaml").write_text(SPEC)
    assert run(["apply", "--yes"]) == 0

    def break_call(name: str, is_hit: Callable[..., bool]) -> None:
        part, _, method = name.rpartition(".")
        owner = PARTS[part]
        works: Callable[..., Any] = getattr(owner, method)

        async def call(self: object, *arguments: Any, **named: Any) -> Any:
            if is_hit(*arguments, **named):
                raise BugError("oops")
            return await works(self, *arguments, **named)

        monkeypatch.setattr(owner, method, call)

    return break_call


def ids(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The machines' ids by name."""
    capsys.readouterr()
    assert run(["status", "-o", "json"]) == 0
    return {row["slot"]: row["machine_id"] for row in json.loads(capsys.readouterr().out)["slots"]}


def is_app(wanted: str) -> Callable[..., bool]:
    return lambda app, *_given, **_named: app == wanted


def is_machine(wanted: str) -> Callable[..., bool]:
    return lambda _app, machine, **_named: machine == wanted


def test_status_shows_the_apps_that_can_be_read(broken: Break, capsys: pytest.CaptureFixture[str]) -> None:
    broken("lists.each_page", is_app("other"))
    assert run(["status", "-v"]) == 1
    told = capsys.readouterr()
    assert "web-iad-1" in told.out
    assert told.err == "error: app other cannot be read: unexpected BugError: oops (--debug shows where)\n"
    assert run(["status", "-o", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert {row["app"] for row in document["slots"]} == {"app"}
    assert document["failures"] == ["app other cannot be read: unexpected BugError: oops (--debug shows where)"]


def test_what_nothing_can_be_read_of_is_one_error(broken: Break, capsys: pytest.CaptureFixture[str]) -> None:
    broken("lists.each_page", lambda *_given, **_named: True)
    for verb in ("status", "runs"):
        assert run([verb]) == 1
        told = capsys.readouterr()
        assert (told.out, told.err.splitlines()[0]) == ("", "error: unexpected BugError: oops")


def test_runs_are_listed_of_whatever_can_be_read(
    broken: Break, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.invoke.runs.has_all_events", lambda _machine: False)  # so that each one is asked
    assert run(["invoke", "work"]) == 0
    known = ids(capsys)
    assert run(["runs", "-o", "json"]) == 0
    [*_, ran] = [one["slot"] for one in json.loads(capsys.readouterr().out)["runs"]]
    idle = "work-iad-0" if ran == "work-iad-1" else "work-iad-1"
    broken("list_events", is_machine(known[idle]))
    assert run(["runs", "-o", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert {one["slot"] for one in document["runs"]} == {ran}
    assert document["failures"][0].startswith(f"the runs of app/{idle} cannot be read: unexpected BugError: oops")
    broken("lists.each_page", is_app("other"))
    assert run(["runs"]) == 1
    told = capsys.readouterr()
    assert f"{ran}/" in told.out
    assert "app other cannot be read" in told.err


def test_the_other_machines_lines_of_a_service_are_shown(broken: Break, capsys: pytest.CaptureFixture[str]) -> None:
    broken_id = ids(capsys)["web-iad-1"]
    broken("logs.read", lambda _app, machine_id, next_token: machine_id == broken_id)
    assert run(["logs", "web"]) == 1
    told = capsys.readouterr()
    assert told.out == "web-iad-0 | up\n"
    assert told.err == "web-iad-1: its log cannot be read: unexpected BugError: oops (--debug shows where)\n"


def test_the_other_machines_leases_are_looked_at(
    broken: Break, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lists_no_leases(_self: object, _app: str) -> bool:
        return False

    monkeypatch.setattr(MachineLists, "has_pages", lists_no_leases)
    lost = ids(capsys)["work-iad-0"]
    looked: list[str] = []
    broken("leases.get", lambda _app, machine: looked.append(machine) or machine == lost)  # type: ignore[func-returns-value]
    assert run(["unlock"]) == 1
    assert len(looked) == 5
    assert "app/work-iad-0: its lease cannot be looked at: unexpected BugError" in capsys.readouterr().err


@pytest.mark.parametrize("is_debugging", [False, True])
def test_the_other_changes_of_an_apply_are_told(
    broken: Break, home: Path, capsys: pytest.CaptureFixture[str], is_debugging: bool
) -> None:
    (home / "machines.yaml").write_text(SPEC.replace("[sh, -c", f"[sh, -{'e' if is_debugging else 'u'}c"))
    broken("leases.acquire", is_machine(ids(capsys)["web-iad-1"]))
    assert run(["apply", "--yes", "-o", "json", *["--debug"] * is_debugging]) == 1
    told = capsys.readouterr()
    entries = {entry["slot"]: entry for entry in json.loads(told.out)["entries"]}
    assert {slot: entry["status"] for slot, entry in entries.items()} == {"web-iad-0": "done", "web-iad-1": "unknown"}
    assert entries["web-iad-1"]["detail"] == "unexpected BugError: oops (--debug shows where)"
    assert ("Traceback" in told.err) == is_debugging
    assert "ExceptionGroup" not in told.out + told.err


def test_destroy_goes_on_with_the_others(broken: Break, capsys: pytest.CaptureFixture[str]) -> None:
    broken("delete_machine", is_machine(ids(capsys)["web-iad-0"]))
    assert run(["destroy", "--yes", "-o", "json"]) == 1
    ends = {entry["slot"]: entry["status"] for entry in json.loads(capsys.readouterr().out)["entries"]}
    assert ends.pop("web-iad-0") == "unknown"
    assert set(ends.values()) == {"done"}
    assert len(ends) == 4
