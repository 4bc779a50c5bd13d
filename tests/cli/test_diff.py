"""Two specs compared offline: no token, no network, the same plan as an apply of one after the other would have."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.cli.main import run
from tests.support.environment import clear_environment
from tests.support.world import World, spec_of

OLD = """
version: 1
name: stack
apps:
  app:
    image: i:1
    env: {KEPT: a, SECRET: canary}
    tasks:
      work: {command: [x], count: 3, args: [one], overrides: {args: true}}
      gone: {command: [x], count: {ams: 1}}
    services:
      web: {command: [x]}
"""
NEW = """
version: 1
name: stack
apps:
  app:
    image: i:2
    env: {KEPT: a, SECRET: canary-changed}
    tasks:
      work: {command: [x], count: 2, args: [two]}
      fresh: {command: [x], regions: [fra]}
    services:
      web: {command: [x], count: 2}
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_TARGET", "http://127.0.0.1:1")  # nobody there, and nobody asked
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)
    return tmp_path


async def test_it_is_the_plan_that_an_apply_has_after_the_other(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["diff", "old.yaml", "new.yaml", "-o", "json", "--detailed-exitcode"]) == 2
    document = json.loads(capsys.readouterr().out)
    found = [(one["address"], one["action"], [field["path"] for field in one["fields"]]) for one in document["changes"]]
    await world.apply(spec_of(OLD))
    await world.context.clock.sleep(10)
    plan = await world.plan(spec_of(NEW))
    assert found == [(one.address, one.action.value, [field.path for field in one.fields]) for one in plan.effective]
    assert {field["cause"] for one in document["changes"] for field in one["fields"]} == {"spec"}
    assert document["blocked"] == []


def test_addresses_are_those_that_an_app_of_the_old_spec_has_once_it_was_created(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = "version: 1\nname: stack\napps:\n  app: {{image: i:1, {}services: {{web: {{ports: [8080]}}}}}}\n"
    for old, new, expected in [
        ("", "", []),
        ("", "addresses: [v6, v4], ", ["v4"]),
        ("addresses: [], ", "addresses: [v6], ", ["v6"]),
        ("addresses: [v6], ", "addresses: [], ", []),
    ]:
        (directory / "old.yaml").write_text(public.format(old))
        (directory / "new.yaml").write_text(public.format(new))
        assert run(["diff", "old.yaml", "new.yaml", "-o", "json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert [one["type"] for one in document["allocations"]] == expected
        assert (document["changes"], document["foreign_ips"]) == ([], [])


def test_no_change_is_none_and_values_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "old.yaml", "old.yaml", "--detailed-exitcode"]) == 0
    assert "No changes" in capsys.readouterr().out
    assert run(["diff", "old.yaml", "new.yaml"]) == 0
    said = capsys.readouterr()
    assert "env.SECRET" in said.out
    assert "canary" not in said.out + said.err


def test_it_shows_no_marks_of_machines_that_are_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "old.yaml", "new.yaml", "-v"]) == 0
    assert "reconciler_" not in capsys.readouterr().out
    assert run(["diff", "old.yaml", "new.yaml", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["bookkeeping"] == []


def test_what_no_plan_would_touch_any_more_is_warned_of(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "new.yaml").write_text(NEW.replace("  app:\n", "  other:\n").replace("name: stack", "name: another"))
    assert run(["diff", "old.yaml", "new.yaml"]) == 0
    said = capsys.readouterr().out
    assert "create app other" in said
    assert "app app is no longer in the spec" in said
    assert "from stack to another" in said


def test_a_side_may_be_a_commit(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)

    git("init", "-b", "main")
    (directory / "machines.yaml").write_text(OLD)
    git("add", ".")
    git("commit", "-m", "old")
    (directory / "machines.yaml").write_text(NEW)
    assert run(["diff", "git:main:machines.yaml", "machines.yaml"]) == 0
    assert "Plan: " in capsys.readouterr().out
    for name, words in {
        "git:nowhere:machines.yaml": "git has no",
        "git:main": "names no file",
        "git:--output=x:y": "names no file",
        "missing.yaml": "there is no file",
    }.items():
        assert run(["diff", name, "machines.yaml"]) == 1
        assert words in capsys.readouterr().err
    assert run(["diff", "-", "-"]) == 64
    assert run(["diff", "machines.yaml", "git:main:missing.yaml"]) == 1
    assert "git has no" in capsys.readouterr().err
    assert run(["diff", "git:main:./missing.yaml", "git:main:./machines.yaml"]) == 0
    said = capsys.readouterr()
    assert "the spec is new" in said.err
    assert "create app app" in said.out


def test_a_pool_that_neither_has_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "old.yaml", "new.yaml", "--only", "nope"]) == 1
    assert "has no pool 'nope'" in capsys.readouterr().err
    assert run(["diff", "old.yaml", "new.yaml", "--only", "gone"]) == 0


def test_values_are_shown_on_a_terminal_that_asks_for_them_and_nowhere_else(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ((), ("-o", "json"), ("-o", "markdown")):
        assert run(["diff", "old.yaml", "new.yaml", "--show-values", *more]) == 64
        said = capsys.readouterr()
        assert "canary" not in said.out + said.err
    seen: list[bytes] = []
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    line = [sys.executable, "-m", "reconciler.cli", "diff", "old.yaml", "new.yaml", "--show-values", "--no-color"]
    master, slave = pty.openpty()
    ended = subprocess.Popen(line, cwd=directory, env=environment, stdout=slave, stderr=slave, stdin=slave)
    os.close(slave)
    with suppress(OSError):  # what a terminal's master end reads once the other end is closed
        while chunk := os.read(master, 4096):
            seen.append(chunk)
    os.close(master)
    assert ended.wait(timeout=60) == 0
    shown = b"".join(seen).decode()
    assert "env.SECRET: canary -> canary-changed" in " ".join(shown.split())
