"""The commands as whole processes on the local target, in the order in which a newcomer types them."""

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.shell import Shell

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("walkthrough"))
    yield shell
    shell("engine", "stop")


@pytest.fixture(scope="module")
def applied(shell: Shell) -> Shell:
    shell("validate")
    shell("plan", "--detailed-exitcode", code=2)
    report = json.loads(shell("apply", "--yes", "-o", "json").stdout)
    assert report["success"]
    assert len(report["entries"]) == 7
    shell("plan", "--detailed-exitcode")
    return shell


@pytest.mark.parametrize(("task", "code"), [("seven", 7), ("killed", 137), ("nothing", 0), ("missing", 127)])
def test_the_exit_code_is_the_tasks_own(applied: Shell, task: str, code: int) -> None:
    applied("invoke", task, code=code)


def test_its_output_is_ours_stream_by_stream(applied: Shell) -> None:
    ended = applied("invoke", "say")
    assert ended.stdout == "hello out\n"
    assert ended.stderr.splitlines()[0] == "err" or "err" in ended.stderr.splitlines()


def test_with_json_the_result_is_one_object_and_the_output_goes_to_stderr(applied: Shell) -> None:
    ended = applied("invoke", "say", "-o", "json")
    assert json.loads(ended.stdout)["outcome"] == "succeeded"
    assert "hello out" in ended.stderr
    failed = json.loads(applied("invoke", "nobody", "-o", "json", code=125).stdout)
    assert (failed["outcome"], failed["exit_code"]) == ("refused", 125)


def test_without_waiting_the_runs_id_is_data(applied: Shell) -> None:
    begun = applied("invoke", "seven", "--no-wait")
    assert begun.stdout.startswith("seven-iad-0/")
    applied("wait", begun.stdout.strip(), code=7)


def test_its_timeout_ends_it(applied: Shell) -> None:
    assert json.loads(applied("invoke", "long", "-o", "json", code=124).stdout)["outcome"] == "timed_out"


def test_a_changed_variable_is_a_change_that_names_it_and_hides_it(applied: Shell) -> None:
    plan = applied("plan", "--detailed-exitcode", code=2, GREETING="canary")
    assert "env.GREETING" in plan.stdout
    assert "canary" not in plan.stdout + plan.stderr


def test_ctrl_c_while_a_run_goes_on_leaves_it_and_says_how_to_go_on(applied: Shell) -> None:
    process = subprocess.Popen(
        applied.command("invoke", "long", "--timeout", "10m"),
        cwd=applied.directory,
        env=applied.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while True:  # it is in progress once the status says so
        rows = json.loads(applied("status", "-o", "json").stdout)["slots"]
        if next(row for row in rows if row["pool"] == "long")["state"] == "started":
            break
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=30)
    assert "Traceback" not in shown
    assert process.returncode in {0, 130}
    assert "goes on" in shown
    deferred = applied("plan", "--detailed-exitcode", code=2, GREETING="other")
    assert "deferred" in deferred.stdout


def test_ctrl_c_twice_still_names_the_run_that_goes_on(applied: Shell) -> None:
    process = subprocess.Popen(
        applied.command("invoke", "stubborn", "--on-interrupt", "cancel"),
        cwd=applied.directory,
        env=applied.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == "deaf\n"
    process.send_signal(signal.SIGINT)
    assert "letting go" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=30)
    assert process.returncode == 122, shown
    assert "reconciler cancel stubborn-iad-0/" in shown
    assert "Traceback" not in shown


def test_status_lists_every_slot(applied: Shell) -> None:
    shown = applied("status", "-v").stdout
    assert all(name in shown for name in ("say-iad-0", "seven-iad-0", "nothing-iad-0"))


def test_a_foreign_stack_of_the_same_app_owns_nothing_of_it(applied: Shell) -> None:
    other = applied.directory / "other.yaml"
    other.write_text("version: 1\nname: other\napps: {app: {image: i, tasks: {}}}\n")
    assert "No changes" in applied("plan", "--detailed-exitcode", "-f", "other.yaml").stdout
    applied("destroy", "--yes", "-f", "other.yaml")
    assert len(json.loads(applied("status", "-o", "json").stdout)["slots"]) == 7


def test_destroy_removes_all_and_a_second_one_finds_nothing(applied: Shell) -> None:
    applied("destroy", "--yes", "--force")
    assert "Nothing to destroy" in applied("destroy", "--yes").stdout
    states = {row["state"] for row in json.loads(applied("status", "-o", "json").stdout)["slots"]}
    assert states == {"missing"}
