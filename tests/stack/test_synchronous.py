"""A stack from code with threads: it has each method of the asynchronous one, with the same arguments, and works."""

import inspect
import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler import AsyncStack, Entry, Stack, Unlocked
from reconciler.engine.server.daemon import stop_engine

pytestmark = pytest.mark.slow

SPEC = "version: 1\nname: s\napps: {app: {image: i, tasks: {t: {command: [echo, hello]}}}}\n"
ENDLESS = "version: 1\nname: s\napps: {app: {image: i, tasks: {t: {command: [sh, -c, 'echo hello; sleep 999']}}}}\n"
METHODS = [
    "apply",
    "build",
    "destroy",
    "diff",
    "drift",
    "find",
    "from_file",
    "invoke",
    "plan",
    "release",
    "runs",
    "save_plan",
    "status",
    "unlock",
]


@pytest.mark.parametrize("name", METHODS)
def test_it_takes_the_same_arguments(name: str) -> None:
    own = inspect.signature(getattr(Stack, name)).parameters.values()
    theirs = inspect.signature(getattr(AsyncStack, name)).parameters.values()
    assert [*own] == [*theirs]


def test_no_method_is_missing() -> None:
    def public(of: type) -> set[str]:
        return {name for one in of.__mro__[:-1] for name in vars(one) if not name.startswith("_")}

    assert public(AsyncStack) - {"aclose"} == public(Stack) - {"close"} == {*METHODS}


def test_from_a_file_to_the_end_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "machines.yaml").write_text(SPEC)
    environment = {"RECONCILER_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    try:
        with Stack.from_file(tmp_path / "machines.yaml", target="local", environment=environment) as stack:
            assert stack.apply(stack.plan()).is_success
            assert not stack.drift().has_changes
            run = stack.invoke("t")
            assert repr(run) == f"Run(id={run.id!r}, state='running')"
            assert [line.message for line in run.logs()] == ["hello"]
            assert run.wait().exit_code == 0
            assert stack.find(run.id).id == stack.runs().runs[0].id == run.id
            assert stack.runs(since=timedelta()).runs == ()
            assert stack.runs(failed=True).runs == ()
            assert len(stack.status().slots) == 1
            assert (stack.unlock(), stack.build()) == (Unlocked(leases=()), ())
            assert not stack.diff(stack.spec).has_changes
            assert stack.destroy().is_success
            saved = stack.save_plan(tmp_path / "plan.json")
            assert stack.apply(saved).is_success
    finally:
        stop_engine(tmp_path / "home")


def test_callbacks_and_a_close_while_another_thread_waits(tmp_path: Path) -> None:
    (tmp_path / "machines.yaml").write_text(ENDLESS)
    environment = {"RECONCILER_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    told: list[str] = []

    def ask(_entry: Entry) -> None:
        with pytest.raises(RuntimeError) as caught:
            stack.drift()
        told.append(str(caught.value))

    def wait() -> None:
        with pytest.raises(RuntimeError) as caught:
            run.wait()
        told.append(str(caught.value))

    try:
        stack = Stack.from_file(tmp_path / "machines.yaml", target="local", environment=environment)
        assert stack.apply(on_end=ask).is_success
        assert "called from a callback" in told.pop()
        run = stack.invoke("t")
        lines = run.logs()
        assert next(lines).message == "hello"
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        with pytest.raises(TimeoutError):
            run.wait(timeout_s=0.05)
        stack.close()
        waiting.join(timeout=30)
        assert len(told) == 1
        assert f"find({run.id!r})" in told[0]
        with pytest.raises(RuntimeError, match="closed already"):
            run.wait()
        with pytest.raises(RuntimeError, match="closed already"):
            next(lines)
        assert stack.find(run.id).cancel() is True
        stack.close()
    finally:
        stop_engine(tmp_path / "home")


def test_an_interrupted_apply_leaves_no_lease_behind(tmp_path: Path) -> None:
    file = tmp_path / "machines.yaml"
    environment = {"RECONCILER_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    ended: list[Entry] = []

    def interrupt(entry: Entry) -> None:
        ended.append(entry)
        if len(ended) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    def stack_of(word: str) -> Stack:
        file.write_text(SPEC.replace("[echo, hello]", f"[echo, {word}], count: 4"))
        return Stack.from_file(file, target="local", environment=environment)

    try:
        with stack_of("hello") as stack:
            assert stack.apply().is_success
        with stack_of("hullo") as stack:
            with pytest.raises(KeyboardInterrupt):
                stack.apply(on_end=interrupt)
            report = stack.apply(lock_timeout="0s", wait_busy="1s")
            assert report.is_success, report
            assert report.entries
    finally:
        stop_engine(tmp_path / "home")
