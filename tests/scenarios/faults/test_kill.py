"""Real processes, real kill -9: an apply dies after one of its requests, fifty times, and the next goes on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.cli.main import run
from reconciler.engine.server.daemon import read_token, start_engine, stop_engine
from tests.support.environment import clear_environment

pytestmark = pytest.mark.slow

KILLS = 50
SPEC = """
version: 1
name: stack
apps:
  app:
    image: i
    env: {{ROUND: '{round}'}}
    tasks:
      work: {{command: ["true"], count: {count}}}
      busy: {{command: [sleep, '1000']}}
"""


class Stack:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.status = start_engine(directory / "home")
        headers = {"Authorization": f"Bearer {read_token(directory / 'home')}"}
        self.http = httpx.Client(base_url=f"{self.status.url}/v1/apps/app", headers=headers, trust_env=False)

    def restart(self, adversity: str) -> None:
        """Let the engine go on with these faults."""
        stop_engine(self.directory / "home")
        (self.directory / "adversity.yaml").write_text(adversity)
        extra = ("--adversity", str(self.directory / "adversity.yaml"))
        self.status = start_engine(self.directory / "home", extra=extra)
        self.http.base_url = f"{self.status.url}/v1/apps/app"

    def write(self, round_number: int) -> None:
        count = 2 + round_number % 3
        (self.directory / "machines.yaml").write_text(SPEC.format(round=round_number, count=count))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "reconciler.cli", *arguments]

    def kill_after(self, requests: int) -> bool:
        """Whether an apply was killed after it had so many answers; False where it ended before."""
        process = subprocess.Popen(
            self.command("apply", "--yes", "--allow-destroy", "9", "--trace-http"),
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr
        seen = 0
        for line in process.stderr:
            seen += " -> " in line
            if seen >= requests:
                os.kill(process.pid, signal.SIGKILL)
                break
        process.stderr.close()
        return process.wait() == -signal.SIGKILL

    def machines(self) -> list[dict[str, Any]]:
        return list(self.http.get("/machines").json())


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    clear_environment(monkeypatch)
    monkeypatch.setenv("RECONCILER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECONCILER_TARGET", "local")
    monkeypatch.chdir(tmp_path)
    stack = Stack(tmp_path)
    yield stack
    stack.http.close()
    stop_engine(tmp_path / "home")


def test_killed_fifty_times_nothing_is_doubled_orphaned_or_ended(
    stack: Stack, capfd: pytest.CaptureFixture[str]
) -> None:
    stack.write(0)
    assert run(["apply", "--yes"]) == 0
    assert run(["invoke", "busy", "--no-wait"]) == 0
    foreign = stack.http.post(
        "/machines", json={"name": "theirs", "config": {"image": "x"}, "skip_launch": True}
    ).json()
    stack.http.get(f"/machines/{foreign['id']}/wait?state=stopped")
    before = stack.http.get(f"/machines/{foreign['id']}").json()
    running = next(machine for machine in stack.machines() if machine["name"] == "busy-iad-0")
    assert running["state"] == "started"
    kills = position = 0
    while kills < KILLS:
        position += 1
        stack.write(position)
        if stack.kill_after(1 + position % 17):
            kills += 1
        names = [machine["name"] for machine in stack.machines()]
        assert len(names) == len(set(names))
        assert run(["unlock"]) in {0, 1}
        now = stack.http.get(f"/machines/{running['id']}").json()
        assert (now["state"], now["instance_id"]) == ("started", running["instance_id"])
    assert run(["apply", "--yes", "--allow-destroy", "9", "-o", "json"]) == 0
    capfd.readouterr()
    assert run(["plan", "-o", "json"]) == 0
    plan = json.loads(capfd.readouterr().out)
    assert [change["slot"] for change in plan["changes"] if not change["deferred"]] == []
    assert sum(machine["name"].startswith("work-") for machine in stack.machines()) == 2 + position % 3
    assert stack.http.get(f"/machines/{foreign['id']}").json() == before


# The first machine that is changed answers its GET late, so that the interrupts come between its lease and its update.
LATE_GET = """
latency: small
rules:
  - {fault: late_reply, call: get, seconds: 3}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_it_gives_back_its_leases_and_says_what_is_done(stack: Stack, number: int, times: int) -> None:
    stack.write(0)
    assert run(["apply", "--yes"]) == 0
    stack.restart(LATE_GET)
    stack.write(3)  # the same count, another environment: updates
    process = subprocess.Popen(
        stack.command("apply", "--yes", "--parallelism", "1", "--trace-http"),
        cwd=stack.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert process.stdout
    for line in process.stderr:
        if "/lease -> 201" in line:
            break
    for _ in range(times):
        process.send_signal(number)
        for line in process.stderr:
            if "interrupted" in line:
                break
    shown = process.stdout.read() + process.stderr.read()
    assert process.wait(timeout=60) == 130
    process.stdout.close()
    process.stderr.close()
    assert "Traceback" not in shown
    if times == 1:
        assert "Interrupted: 1 done, 2 skipped" in shown
    for machine in stack.machines():
        assert stack.http.get(f"/machines/{machine['id']}/lease").status_code == 404
