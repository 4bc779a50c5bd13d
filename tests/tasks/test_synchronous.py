"""Tasks from threads, against a real engine that really runs the commands."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler import NotStartedError, OutcomeName, RunFailedError, Tasks
from reconciler.cli.main import run as command
from reconciler.engine.server.daemon import read_token, start_engine, stop_engine
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: stack
apps:
  app:
    image: i
    tasks:
      echo:
        command: [sh, -c, 'echo "$0"; exit "$1"']
        args: [hello, '0']
        overrides: {args: true}
        count: 3
      long: {command: [sleep, '1000']}
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    directory = tmp_path_factory.mktemp("tasks")
    with pytest.MonkeyPatch.context() as patch:
        clear_environment(patch)
        patch.setenv("RECONCILER_HOME", str(directory / "home"))
        patch.setenv("RECONCILER_TARGET", "local")
        (directory / "machines.yaml").write_text(SPEC)
        assert command(["apply", "--yes", "-C", str(directory)]) == 0
        yield dict(os.environ)
        stop_engine(directory / "home")


@pytest.mark.usefixtures("environment")
def test_it_is_as_easy_as_a_function_call() -> None:
    with Tasks("app") as tasks:
        run = tasks.invoke("echo", args=["from a program", "7"], timeout="5m")
        assert [line.message for line in run.logs()] == ["from a program"]
        outcome = run.wait()
        assert (outcome.name, outcome.exit_code) == (OutcomeName.FAILED, 7)
        assert repr(run) == f"Run(id={run.id!r}, outcome='failed')"
        assert tasks.find(run.id).wait(timeout="1m").exit_code == 7
        with pytest.raises(RunFailedError, match="7"):
            run.check()
        assert tasks.invoke("echo").check("1m").ok
        assert run.id in [info.id for info in tasks.runs("echo")]
        assert tasks.runs("echo", since=timedelta()) == []


def test_any_number_of_threads_share_one(environment: dict[str, str]) -> None:
    status = start_engine(Path(environment["RECONCILER_HOME"]))
    assert status.url
    token = read_token(Path(environment["RECONCILER_HOME"]))
    with Tasks("app", token=token, url=status.url, log_delay_s=0.0) as tasks, ThreadPoolExecutor(12) as pool:

        def one(number: int) -> tuple[int, list[str]]:
            run = tasks.invoke("echo", args=[f"number {number}", str(number)])
            return run.wait().exit_code, [line.message for line in run.logs()]

        ended = list(pool.map(one, range(24)))
    assert ended == [(number, [f"number {number}"]) for number in range(24)]


def test_cancelled_from_another_thread_and_a_line_reader_that_leaves(environment: dict[str, str]) -> None:
    with Tasks.from_environment("app", environment) as tasks:
        run = tasks.invoke("long")
        waited: list[str] = []
        waiting = threading.Thread(target=lambda: waited.append(run.wait().name.value))
        waiting.start()
        reading = iter(run.logs())
        with pytest.raises(TimeoutError):
            run.wait(timeout_s=0.05)
        with pytest.raises(NotStartedError):
            tasks.invoke("long", on_busy="fail")
        assert run.cancel() is True
        waiting.join(timeout=30)
        assert waited == ["cancelled"]
        assert list(reading) == []


FORKING = """
import os
from reconciler.tasks import Tasks

tasks = Tasks.from_environment("app", os.environ)
assert tasks.invoke("echo", args=["x", "8"]).wait().exit_code == 8
pids = []
for number in range(2):
    pid = os.fork()
    if pid == 0:  # a worker of a server that forks
        os._exit(tasks.invoke("echo", args=["x", "9"]).wait().exit_code)
    pids.append(pid)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
"""


def test_made_before_a_fork_it_works_after_it(environment: dict[str, str]) -> None:
    ended = subprocess.run([sys.executable, "-c", FORKING], env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "[9, 9]\n"), ended.stderr
