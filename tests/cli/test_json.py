"""What `-o json` prints is what its schema in schemas/ describes, every member of it, whatever the verb and its end."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from reconciler.cli.main import run
from reconciler.engine.server.daemon import read_token, start_engine, stop_engine
from tests.support.environment import clear_environment
from tests.support.schemas import SCHEMAS, strict

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: stack
apps:
  app:
    image: i:1
    env: {A: '1'}
    tasks:
      work: {command: [sh, -c, 'exit $0'], args: ['%s'], overrides: {args: true}, count: %s}
    services:
      web: {command: [sleep, '1000'], rollout: {min_healthy: 0s}}
"""

Command = Callable[..., Any]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Runs a verb with -o json in a stack's directory; the document, held against the named schema."""
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "machines.yaml").write_text(SPEC % (0, 2))

    def run_verb(schema: str, *arguments: str, code: int = 0) -> Any:
        ended = run(["-o", "json", *arguments])
        captured = capsys.readouterr()
        assert ended == code, (arguments, ended, captured)
        document = json.loads(captured.out)
        description = json.loads((SCHEMAS / f"{schema}.schema.json").read_text())
        Draft202012Validator.check_schema(description)
        Draft202012Validator(strict(description)).validate(document)
        return document

    yield run_verb
    stop_engine(tmp_path / "home")


def test_each_verb_on_a_good_day(command: Command) -> None:
    assert command("validation", "validate")["machines"] == 3
    assert command("doctor", "doctor")["healthy"]
    assert command("version", "version")["spec"].endswith("machines.yaml")
    assert command("plan", "plan")["counts"]["create"] == 3
    assert command("report", "apply", "--yes")["success"]
    assert command("plan", "plan")["resource_changes"] == []
    assert len(command("status", "status")["slots"]) == 3
    assert command("run", "invoke", "work")["outcome"] == "succeeded"
    begun = command("run", "invoke", "work", "--no-wait", "--", "7")
    assert command("found-run", "wait", begun["run"], code=7)["outcome"] == "failed"
    assert command("found-run", "cancel", begun["run"], code=1)["cancelled"] is False
    assert {one["outcome"] for one in command("runs", "runs")["runs"]} == {"succeeded", "failed"}
    assert command("leases", "unlock")["leases"] == []
    assert command("engine", "engine", "status")["running"]
    assert command("plan", "drift")["has_changes"] is False
    assert command("plan", "diff", "machines.yaml", "machines.yaml")["plan_sha256"] is None
    assert {one["action"] for one in command("plan", "release", "--dry-run")["changes"]} == {"release"}
    released = command("report", "release", "--yes")
    assert {one["action"] for one in released["entries"]} == {"release"}
    assert command("report", "apply", "--adopt", "--yes")["success"]
    assert command("report", "destroy", "--yes")["success"]


def test_each_verb_on_a_bad_day(command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("version: 1\nname: s\napps: {a: {image: i, tasks: {t: {cmd: x}}}}\n")
    assert command("validation", "validate", "-f", "bad.yaml", code=1)["errors"]
    assert command("error", "plan", "-f", "bad.yaml", code=1)["error"]["errors"][0]["line"] == 3
    assert command("error", "status", "-f", "none.yaml", code=1)["error"]["hint"]
    assert command("run", "invoke", "t", "-f", "bad.yaml", code=125)["message"] == "the spec has 1 error"
    assert command("run", "invoke", "wrok", code=125)["outcome"] == "refused"
    assert command("run", "invoke", "work", code=125)["remedy"]
    command("report", "apply", "--yes")
    assert command("run", "invoke", "work", "--", "9", code=9)["task_exit_code"] == 9
    other = ("apply", "--expect-plan", f"sha256:{'0' * 64}", "--no-revision")
    assert command("report", *other)["nothing_left"]
    (tmp_path / "machines.yaml").write_text(SPEC % (0, 8))
    assert "was approved" in command("report", *other, code=1)["failures"][0]
    command("report", "apply", "--yes")
    (tmp_path / "machines.yaml").write_text(SPEC % (0, 1))
    assert command("plan", "plan")["deletion_limit"]["destroys"] == 7
    assert "--allow-destroy 7" in command("report", "apply", "--yes", code=1)["failures"][0]


@pytest.mark.parametrize(
    ("line", "message", "helper"),
    [
        ("plan --bogus", "No such option '--bogus'.", "reconciler plan"),
        ("paln", "No such command 'paln'. Did you mean 'plan'?", "reconciler"),
        ("apply --parallelism none", "Invalid value for '--parallelism'", "reconciler apply"),
        ("invoke", "Missing argument 'TASK'.", "reconciler invoke"),
    ],
)
def test_a_wrong_command_line(command: Command, line: str, message: str, helper: str) -> None:
    found = command("error", *line.split(), code=64)["error"]
    assert found["message"].startswith(message)
    assert (found["hint"], found["exit_code"]) == (f"see `{helper} --help`", 64)


def test_a_saved_plan_of_every_kind_of_change_is_shown_as_it_was_planned(command: Command, tmp_path: Path) -> None:
    command("report", "apply", "--yes")
    status = start_engine(tmp_path / "home")
    headers = {"Authorization": f"Bearer {read_token(tmp_path / 'home')}"}
    with httpx.Client(base_url=f"{status.url}/v1/apps/app", headers=headers, trust_env=False) as http:
        by_name = {one["name"]: one for one in http.get("/machines").json()}
        http.post(f"/machines/{by_name['web-iad-0']['id']}/stop")
        changed = by_name["work-iad-0"]
        body = {"config": changed["config"] | {"env": {"A": "2", "B": "3"}}, "skip_launch": True}
        assert http.post(f"/machines/{changed['id']}", json=body).status_code == 200
        http.get(f"/machines/{by_name['web-iad-0']['id']}/wait", params={"state": "stopped", "timeout": 10})
    (tmp_path / "machines.yaml").write_text(
        (SPEC % (0, "{iad: 1, ams: 1}")).replace("services:", "  more: {command: [x], launch: true}\n    services:")
    )
    planned = command("plan", "plan", "--out", "plan.json")
    shown = command("plan", "show", "plan.json")
    saved = json.loads((tmp_path / "plan.json").read_text())
    assert {one["action"] for one in planned["changes"]} == {"create", "update", "destroy", "start"}
    assert [one["change"]["actions"] for one in planned["resource_changes"]] == [
        {"create": ["create"], "update": ["update"], "start": ["update"], "destroy": ["delete"]}[one["action"]]
        for one in planned["changes"]
    ]
    del saved["saved"]
    for change in saved["changes"]:
        del change["bound_to"], change["is_twin"]
    assert shown == saved
    update = next(one for one in planned["resource_changes"] if one["name"] == "work-iad-0")
    assert set(update["change"]["before"]["config"]["env"]) == {"A", "B"}
    assert update["change"]["before_sensitive"] == {"config": {"env": True}}
    assert "2" not in update["change"]["before"]["config"]["env"].values()
    assert not any(key.startswith("reconciler_") for key in update["change"]["before"]["config"]["metadata"])
