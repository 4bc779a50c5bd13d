"""Many real invokes at once: processes of the command line against a real engine that runs real processes."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import start_engine, stop_engine
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

SPEC = """
version: 1
name: stack
apps:
  app:
    image: i
    env: {DIARY: '%s'}
    tasks:
      work:
        command:
          - sh
          - -c
          - 'echo "+ $FLY_MACHINE_ID $0" >> $DIARY; sleep 0.05;
            echo "- $FLY_MACHINE_ID $0" >> $DIARY; exit $0'
        args: ['0']
        overrides: {args: true}
        count: 4
        timeout: 60s
"""
# A fifth of all replies is lost or late, or says nothing of what was done.
ADVERSITY = """
latency: none
rules:
  - {fault: lose_request, share: 0.04}
  - {fault: lose_reply, share: 0.05}
  - {fault: half_reply, share: 0.03}
  - {fault: bad_gateway, committed: true, share: 0.04}
  - {fault: late_reply, seconds: 0.5, share: 0.05}
"""
_INVOKE = ["-m", "reconciler.cli", "invoke", "work", "--queue-timeout", "5m", "--no-logs"]


class Stack:
    """A pool of four whose tasks keep a diary; a task exits with the number that it was given."""

    def __init__(self, directory: Path, warm: Path, *, is_unlucky: bool) -> None:
        self._python = [str(warm / "bin" / "python"), "-I"]
        self.directory = directory
        self.diary = directory / "diary"
        self.diary.touch()
        (directory / "machines.yaml").write_text(SPEC % self.diary)
        assert run(["apply", "--yes", "-C", str(directory)]) == 0
        if is_unlucky:
            stop_engine(directory / "home")
            (directory / "adversity.yaml").write_text(ADVERSITY)
            start_engine(directory / "home", extra=("--adversity", str(directory / "adversity.yaml")))

    def invoke(self, number: int, key: str | None = None) -> tuple[int, str]:
        """The code and the messages of one invoke; again where it could not even look: then it has not begun."""
        line = [*self._python, *self._line(number, key)]
        for _ in range(3):
            ended = subprocess.run(line, cwd=self.directory, capture_output=True, text=True, timeout=220)
            if not (ended.returncode == 125 and ended.stderr.startswith("error: list machines of app:")):
                break
        return ended.returncode, ended.stderr

    def invoke_and_kill(self, number: int, key: str, after: int) -> None:
        """An invoke that is killed once it has had so many answers, if it lives so long."""
        before, after_verb = self._line(number, key)[:4], self._line(number, key)[4:]
        line = [sys.executable, *before, "--trace-http", *after_verb]  # a process that a signal reaches itself
        process = subprocess.Popen(line, cwd=self.directory, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        answers = 0
        for text in process.stderr:
            answers += " -> " in text
            if answers >= after:
                process.send_signal(signal.SIGKILL)
                break
        process.stderr.close()
        process.wait()

    def _line(self, number: int, key: str | None) -> list[str]:
        return [*_INVOKE, *(["--idempotency-key", key] if key else []), "--", str(number)]

    def executions(self) -> list[str]:
        """The numbers that ran, in order; fails where two ran at once on one machine."""
        running: dict[str, str] = {}
        numbers = []
        for line in self.diary.read_text().splitlines():
            sign, machine, number = line.split()
            if sign == "+":
                assert machine not in running, f"{number} began on {machine} beside {running[machine]}"
                running[machine] = number
                numbers.append(number)
            else:
                assert running.pop(machine) == number
        assert not running
        return numbers


@pytest.fixture
def stack(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: Path
) -> Iterator[Stack]:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    yield Stack(tmp_path, warm, is_unlucky=getattr(request, "param", False))
    stop_engine(tmp_path / "home")


def at_once(stack: Stack, numbers: list[int], *, has_keys: bool, kills_every: int = 0) -> None:
    """All of them at once: each runs once, with its own number, and ends with it."""
    rng = random.Random(len(numbers))

    def one(number: int) -> tuple[int, str]:
        key = f"key {number}" if has_keys else None
        if kills_every and number % kills_every == 0:
            stack.invoke_and_kill(number, key or "", rng.randint(1, 25))
        return stack.invoke(number, key)

    with ThreadPoolExecutor(len(numbers)) as pool:
        ended = list(pool.map(one, numbers))
    told = {number: end for number, end in zip(numbers, ended, strict=True) if end[0] != number}
    assert not told
    assert sorted(map(int, stack.executions())) == numbers


def test_forty_at_once_on_a_pool_of_four(stack: Stack) -> None:
    at_once(stack, list(range(1, 41)), has_keys=False)


def test_ten_at_once_with_one_key_are_one_execution_and_ten_equal_codes(stack: Stack) -> None:
    with ThreadPoolExecutor(10) as pool:
        ended = list(pool.map(lambda _: stack.invoke(7, "the key"), range(10)))
    assert [code for code, _ in ended] == [7] * 10, ended
    assert stack.executions() == ["7"]


@pytest.mark.parametrize("stack", [True], indirect=True, ids=["a fifth of the replies lost or late"])
def test_forty_at_once_on_a_bad_day(stack: Stack) -> None:
    at_once(stack, list(range(1, 41)), has_keys=False)


@pytest.mark.soak
@pytest.mark.parametrize(
    "stack", [False, True], indirect=True, ids=["a good day", "a fifth of the replies lost or late"]
)
def test_every_third_of_forty_killed_and_run_again_with_its_key(stack: Stack) -> None:
    at_once(stack, list(range(1, 41)), has_keys=True, kills_every=3)
