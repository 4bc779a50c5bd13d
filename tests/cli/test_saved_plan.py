"""A plan that was reviewed is applied exactly, once, or not at all; on the local target, by the command line."""

import json
import os
import pty
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import read_token, start_engine, stop_engine
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: stack
apps:
  app:
    image: i:1
    env: {SECRET: '${SECRET:-canary-one}'}
    tasks:
      work: {command: [sh, -c, 'sleep $0'], args: ['0'], overrides: {args: true}, count: %s}
"""
WRITES = ("POST ", "DELETE ", "PUT ", "PATCH ")
ROOM = "POST /v1/platform/placements "  # asks how many machines there is room for


class Stack:
    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capsys = capsys
        self.file = directory / "plan.json"
        status = start_engine(directory / "home")
        headers = {"Authorization": f"Bearer {read_token(directory / 'home')}"}
        self.http = httpx.Client(base_url=f"{status.url}/v1/apps/app", headers=headers, trust_env=False)
        self.declare(2)

    def declare(self, count: int) -> None:
        (self.directory / "machines.yaml").write_text(SPEC % count)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What the command says on both streams."""
        verb, *rest = arguments
        ended = run([verb, "-C", str(self.directory), *rest])
        captured = self._capsys.readouterr()
        assert ended == code, (ended, captured)
        return captured.out + captured.err

    def refused(self, *arguments: str) -> str:
        """What an apply says that writes nothing."""
        said = self("apply", *arguments, "--trace-http", code=1)
        assert not [line for line in said.splitlines() if line.startswith(WRITES) and ROOM not in line], said
        return said

    def plan(self) -> str:
        return self("plan", "--out", str(self.file))

    def hash(self) -> str:
        return str(json.loads(self("plan", "-o", "json"))["plan_sha256"])

    def machine(self, position: int = 0) -> dict[str, object]:
        machines = sorted(self.http.get("/machines").json(), key=lambda one: one["name"])
        return dict(machines[position])


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Stack]:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    stack = Stack(tmp_path, capsys)
    yield stack
    stack.http.close()
    stop_engine(tmp_path / "home")


def test_it_is_shown_again_and_applied_until_nothing_is_left(stack: Stack) -> None:
    planned = stack.plan()
    shown = stack("show", str(stack.file))
    assert shown == planned.rpartition("saved:")[0]
    assert "create" in shown
    assert stack("show", str(stack.file), "--detailed-exitcode", code=2)
    assert json.loads(stack("show", str(stack.file), "-o", "json"))["plan_sha256"] == stack.hash()
    assert "2 done" in stack("apply", str(stack.file))
    assert "Nothing left of this plan" in stack("apply", str(stack.file))
    report, _end = json.JSONDecoder().raw_decode(stack("apply", str(stack.file), "-o", "json"))
    assert (report["success"], report["nothing_left"], report["entries"]) == (True, True, [])
    assert "No changes" in stack("plan")


def test_the_file_is_its_owners_alone_and_has_no_value(stack: Stack) -> None:
    stack("apply", "--yes")
    (stack.directory / "machines.yaml").write_text((SPEC % 2).replace("canary-one", "canary-two"))
    stack.plan()
    assert stat.S_IMODE(stack.file.stat().st_mode) == 0o600
    assert "canary" not in stack.file.read_text()
    assert "env.SECRET" in stack("show", str(stack.file))
    assert [path.name for path in stack.directory.iterdir() if path.name.startswith(".")] == []


def test_a_machine_that_someone_changed_meanwhile_is_named_and_nothing_is_written(stack: Stack) -> None:
    stack("apply", "--yes")
    stack.declare(3)
    stack.plan()
    machine = stack.machine()
    config = dict(machine["config"])  # type: ignore[call-overload]
    body = {"config": config | {"env": {"OTHER": "x"}}, "skip_launch": True}
    assert stack.http.post(f"/machines/{machine['id']}", json=body).status_code == 200
    said = stack.refused(str(stack.file))
    assert "app/work-iad-0: update is due now, which was not approved" in said
    assert "changed by someone else: env.OTHER" in said


def test_what_was_done_meanwhile_is_not_due(stack: Stack) -> None:
    stack("apply", "--yes")
    stack.declare(1)
    stack.plan()
    assert stack.http.delete(f"/machines/{stack.machine(1)['id']}", params={"force": "true"}).status_code == 200
    assert "Nothing left of this plan" in stack("apply", str(stack.file))


def test_what_is_left_of_a_plan_is_done_and_no_more(stack: Stack) -> None:
    stack("apply", "--yes")
    stack.declare(4)
    stack.plan()
    approved = json.loads(stack.file.read_text())
    made = approved["plan_sha256"] + "+" + ",".join(approved["change_hashes"])
    (stack.directory / "plan.md").write_text(stack("show", str(stack.file), "-o", "markdown"))
    stack.declare(3)
    stack("apply", "--yes")
    stack.declare(4)
    assert "1 done" in stack("apply", str(stack.file))
    for given in (made, "@plan.md", f"@{stack.file}"):
        assert "Nothing left" in stack("apply", "--expect-plan", given, "--no-revision")
        last = stack.machine(3)
        assert stack.http.delete(f"/machines/{last['id']}", params={"force": "true"}).status_code == 200
        assert "1 done" in stack("apply", "--expect-plan", given, "--no-revision")
    stack.declare(5)
    said = stack.refused("--expect-plan", made, "--no-revision")
    assert "app/work-iad-4: create is due now, which was not approved (not there)" in said


def test_several_approvals_are_one(stack: Stack) -> None:
    texts = []
    for count in (1, 3):
        stack.declare(count)
        texts.append(stack("plan", "-o", "markdown").splitlines()[-1])
    (stack.directory / "both.txt").write_text("\n".join(texts))
    one, other = (text.removeprefix("<!-- reconciler plan ").removesuffix(" -->") for text in texts)
    assert "app/work-iad-1: create is due" in stack.refused("--expect-plan", one, "--no-revision")
    stack.declare(1)
    stack("apply", "--expect-plan", one, "--expect-plan", other, "--no-revision")
    stack.declare(3)
    assert "2 done" in stack("apply", "--expect-plan", "@both.txt", "--revision", "5")
    for arguments in (("--expect-plan", one), ("--expect-plan", one, "--revision", "1", "--no-revision")):
        assert "--no-revision" in stack("apply", *arguments, code=64)
    assert "Superseded by revision 5" in stack("apply", "--expect-plan", "@both.txt", "--revision", "4")
    cut = one[:-17]
    assert "it was cut or changed" in stack("apply", "--expect-plan", f"{cut}", "--no-revision", code=64)
    (stack.directory / "none.txt").write_text("nothing\n")
    assert "holds no approval" in stack("apply", "--expect-plan", "@none.txt", "--no-revision", code=64)
    assert "there is no file" in stack("apply", "--expect-plan", "@nowhere.txt", "--no-revision", code=1)


def test_the_plan_of_an_environment_is_applied_to_that_one_alone(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (stack.directory / "machines.yaml").read_text()
    named = text.replace("name: stack", "name: stack-${RECONCILER_ENVIRONMENT:-main}")
    (stack.directory / "machines.yaml").write_text(named)
    said = stack("plan", "--environment", "staging", "--out", str(stack.file))
    assert said.startswith("Stack stack-staging, environment staging, on the local engine")
    assert "--environment staging apply " in said
    other = "the plan was made for the environment staging, and this is for pr-1"
    assert other in stack.refused(str(stack.file), "--environment", "pr-1")
    monkeypatch.setenv("RECONCILER_ENVIRONMENT", "pr-1")
    assert other in stack.refused(str(stack.file))
    monkeypatch.delenv("RECONCILER_ENVIRONMENT")
    assert "2 done" in stack("apply", str(stack.file))  # it is the plan's own where none is named
    assert "stack-staging" in str(stack.machine()["config"])


def test_another_spec_or_another_environment_is_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.plan()
    stack.declare(3)
    assert "not the spec that the plan was made from" in stack.refused(str(stack.file))
    stack.declare(2)
    monkeypatch.setenv("SECRET", "another")
    said = stack.refused(str(stack.file))
    assert "environment" in said
    assert "another\n" not in said
    monkeypatch.delenv("SECRET")
    monkeypatch.setenv("RECONCILER_TARGET", f"{stack.http.base_url}".partition("/v1")[0])
    assert "was made for local" in stack.refused(str(stack.file))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    stack("apply", str(stack.file))


def test_a_plan_of_another_version_is_applied_and_one_with_other_digests_is_refused(stack: Stack) -> None:
    stack.plan()
    document = json.loads(stack.file.read_text())
    document["saved"] |= {"tool_version": "9.9.9", "scheme": "2"}
    stack.file.write_text(json.dumps(document))
    said = stack.refused(str(stack.file))
    assert "version 9.9.9 with digests of scheme 2, and this version makes scheme 1" in said
    document["saved"]["scheme"] = "1"
    stack.file.write_text(json.dumps(document))
    assert "2 done" in stack("apply", str(stack.file))


def test_runs_in_progress_and_runs_of_their_own_are_no_reason_to_refuse(stack: Stack) -> None:
    stack("apply", "--yes")
    text = (SPEC % 2).replace("i:1", "i:2")
    (stack.directory / "machines.yaml").write_text(text)
    stack.plan()
    found = stack.hash()
    stack("invoke", "work", "--no-wait", "--", "1000")
    stack("invoke", "work", "--no-wait", "--", "0")
    assert stack.hash() == found
    said = stack("apply", str(stack.file))
    assert "1 done" in said
    assert "1 deferred" in said
    running = next(info for info in json.loads(stack("runs", "-o", "json"))["runs"] if info["state"] == "running")
    stack("cancel", running["run"])
    assert "Plan: 0 to create, 1 to update" in stack("plan")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a saved plan"),
        ("{}", "not a saved plan"),
        ("[1]", "not a saved plan"),
        ('{"format_version": "9.0"}', "has the format 9.0"),
        ('{"format_version": "1.0"}', "not a whole saved plan"),
    ],
)
def test_a_file_that_is_no_saved_plan_is_said_as_such(stack: Stack, text: str, words: str) -> None:
    stack.file.write_text(text)
    assert words in stack("show", str(stack.file), code=1)
    assert words in stack("apply", str(stack.file), code=1)


def test_a_file_that_is_cut_off_or_not_there_is_said_as_such(stack: Stack) -> None:
    stack.plan()
    stack.file.write_text(stack.file.read_text()[:-200])
    assert "not a saved plan" in stack("apply", str(stack.file), code=1)
    assert "there is no file" in stack("show", str(stack.directory / "nothing"), code=1)


def test_a_file_that_shows_less_than_its_hash_is_of_is_refused(stack: Stack) -> None:
    stack.plan()
    document = json.loads(stack.file.read_text())
    for part in ("changes", "resource_changes"):
        document[part] = [one for one in document[part] if "work-iad-1" not in json.dumps(one)]
    stack.file.write_text(json.dumps(document))
    assert "the changes in the file do not match its hash" in stack.refused(str(stack.file))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("plan_sha256", "sha256:x\n::error::boo"),
        ("plan_sha256", 5),
        ("stack", "a\nb"),
        ("changes.0.region", "\n::error::z"),
    ],
)
def test_a_file_with_other_things_in_it_than_names_is_no_saved_plan(stack: Stack, path: str, value: object) -> None:
    stack.plan()
    document = json.loads(stack.file.read_text())
    *way, last = path.split(".")
    at = document
    for part in way:
        at = at[int(part)] if part.isdigit() else at[part]
    at[last] = value
    stack.file.write_text(json.dumps(document))
    for output in ("text", "json", "markdown", "html"):
        assert "not a whole saved plan" in stack("show", str(stack.file), "-o", output, code=1)


def test_where_the_plan_is_saved(stack: Stack) -> None:
    link, target = stack.directory / "link.json", stack.directory / "target.json"
    link.symlink_to(target)
    stack("plan", "--out", "link.json")
    assert link.is_symlink()
    assert "2 done" in stack("apply", "target.json"), "seen from -C, as the spec is"
    assert "names no file for the plan" in stack("plan", "--out", "", code=1)
    said = stack("plan", "--out", "nowhere/x.json", code=1)
    assert "cannot save the plan as" in said
    assert "nowhere/x.json: No such file" in said
    read, write = os.pipe()
    stack("plan", "--out", f"/dev/fd/{write}")
    os.close(write)
    with os.fdopen(read) as pipe:
        assert json.load(pipe)["stack"] == "stack"


def test_a_plan_of_one_app_is_applied_as_such(stack: Stack) -> None:
    two = (SPEC % 1) + "  other: {image: i, tasks: {rest: {}}}\n"
    (stack.directory / "machines.yaml").write_text(two)
    stack("plan", "-a", "app", "--out", "plan.json")
    assert "1 done" in stack("apply", "plan.json")
    assert "1 to create" in stack("plan")


def test_a_hash_is_enough_to_apply_what_was_approved_and_nothing_else(stack: Stack) -> None:
    approved = stack.hash()
    assert f"Plan hash: {approved}" in stack("plan")
    stack.declare(3)
    said = stack.refused("--expect-plan", approved, "--no-revision")
    assert f"the plan that was approved ({approved})" in said
    assert "app/work-iad-2: create is due (not there)" in said
    stack.declare(2)
    assert "2 done" in stack("apply", "--expect-plan", approved, "--no-revision")
    assert "Nothing left of this plan" in stack("apply", "--expect-plan", approved, "--no-revision")


@pytest.mark.parametrize(
    "arguments",
    [("--expect-plan", "sha256:12"), ("--expect-plan", "x"), ("plan.json", "--adopt"), ("plan.json", "--only", "work")],
)
def test_what_makes_no_sense_is_a_usage_error(stack: Stack, arguments: tuple[str, ...]) -> None:
    stack("apply", *arguments, code=64)


BRAKED = "destroys 7 of 8: needs --allow-destroy 7"


@pytest.fixture
def braked(stack: Stack) -> Stack:
    """Eight machines, of which seven are declared no more; their plan without allowance is saved."""
    stack.declare(8)
    stack("apply", "--yes")
    stack.declare(1)
    stack("plan", "--out", str(stack.file), "--detailed-exitcode", code=2)
    return stack


def test_a_plan_that_destroys_too_much_is_saved_and_shown_and_not_applied(braked: Stack) -> None:
    planned = braked("plan", "--out", str(braked.file))
    assert f"Blocked: {BRAKED}" in planned
    assert braked("show", str(braked.file)) == planned.rpartition("saved as")[0]
    for output in ("json", "markdown", "html"):
        assert BRAKED in braked("show", str(braked.file), "-o", output, "--detailed-exitcode", code=2)
    assert BRAKED in braked.refused(str(braked.file))
    assert BRAKED in braked.refused("--expect-plan", braked.hash(), "--no-revision")
    assert BRAKED in braked.refused("--expect-plan", f"@{braked.file}", "--no-revision")
    assert BRAKED in braked.refused("--yes", "--allow-destroy", "6")
    again = json.loads(braked("plan", "--allow-destroy", "6", "-o", "json"))
    assert (again["plan_sha256"], again["blocked"]) == (braked.hash(), [BRAKED]), "too few is as good as none"
    document = json.loads(braked.file.read_text())
    document["saved"]["allow_destroy"] = 7
    braked.file.write_text(json.dumps(document))
    assert BRAKED in braked.refused(str(braked.file)), "what was reviewed had no allowance"


def test_an_allowance_is_part_of_what_is_approved(braked: Stack) -> None:
    without = braked.hash()
    braked("plan", "--allow-destroy", "7", "--out", str(braked.file))
    made = json.loads(braked.file.read_text())
    approved = made["plan_sha256"]
    assert approved != without
    assert made["blocked"] == []
    assert made["deletion_limit"] == {"destroys": 7, "of": 8, "replaces": 0, "is_allowed": True}
    for output in ("text", "markdown", "html"):
        shown = braked("show", str(braked.file), "-o", output)
        assert "destroys 7 of 8, with --allow-destroy 7" in shown
        assert approved in shown
    assert BRAKED in braked.refused("--expect-plan", approved, "--no-revision")
    said = braked.refused("--expect-plan", without, "--allow-destroy", "7", "--no-revision")
    assert "it was approved without that" in said
    for hashed in (approved, f"@{braked.file}"):
        assert BRAKED in braked.refused("--expect-plan", hashed, "--allow-destroy", "6", "--no-revision")
    gone = braked.machine(7)
    assert braked.http.delete(f"/machines/{gone['id']}", params={"force": "true"}).status_code == 200
    assert "6 done" in braked("apply", "--expect-plan", f"@{braked.file}", "--no-revision")


def test_a_saved_plan_brings_its_allowance(braked: Stack) -> None:
    braked("plan", "--allow-destroy", "8", "--out", str(braked.file))
    document = json.loads(braked.file.read_text())
    braked.file.write_text(json.dumps(document | {"deletion_limit": None}))
    assert "the changes in the file do not match its hash" in braked.refused(str(braked.file))
    braked.file.write_text(json.dumps(document))
    assert "7 done" in braked("apply", str(braked.file))


def test_a_plan_saved_before_the_allowance_was_in_its_hash_is_applied(braked: Stack) -> None:
    braked("plan", "--allow-destroy", "7", "--out", str(braked.file))
    document = json.loads(braked.file.read_text())
    for member in ("deletion_limit", "change_hashes"):
        del document[member]
    braked.file.write_text(json.dumps(document))
    assert "7 done" in braked("apply", str(braked.file))


def test_the_same_changes_may_be_due_again_after_others(stack: Stack) -> None:
    stack("apply", "--yes")
    for _ in range(2):
        stack.declare(3)
        stack.plan()
        stack("apply", str(stack.file))
        stack.declare(2)
        stack("apply", "--yes")


def test_drift_is_shown_and_put_back_by_the_command_line(stack: Stack) -> None:
    stack("apply", "--yes")
    assert "No changes" in stack("drift", "--detailed-exitcode")
    machine = stack.machine(1)
    config = dict(machine["config"])  # type: ignore[call-overload]
    body = {"config": config | {"env": {"OTHER": "canary-x"}}, "skip_launch": True}
    assert stack.http.post(f"/machines/{machine['id']}", json=body).status_code == 200
    stack.declare(3)
    said = stack("drift", "--detailed-exitcode", code=2)
    assert "work-iad-1" in said
    assert "env.OTHER" in said
    assert "work-iad-2" not in said
    assert "canary" not in said
    assert "1 done" in stack("apply", "--only-drift", "--yes")
    assert "No drift. 2 machines are as declared; 1 slot differs from the spec" in stack("drift")
    assert "Plan: 1 to create, 0 to update" in stack("plan")


@pytest.mark.parametrize("verb", ["apply", "destroy"])
def test_an_interrupt_at_the_question_ends_it(stack: Stack, verb: str) -> None:
    if verb == "destroy":
        stack("apply", "--yes")
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler.cli", verb],
        cwd=stack.directory,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    said = b""
    while b"Only yes" not in said and b"Type the stack" not in said:
        said += os.read(master, 4096)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    os.close(master)
    machines = [one for one in stack.http.get("/machines").json() if isinstance(one, dict)]
    assert len(machines) == (2 if verb == "destroy" else 0)
