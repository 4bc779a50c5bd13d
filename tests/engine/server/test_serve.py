"""The engine as a process: found, started once, stopped, killed, started again."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.engine.server import daemon
from reconciler.engine.server.daemon import EngineStatus, engine_status, read_token, start_engine, stop_engine
from reconciler.engine.server.http_server import KEEP_ALIVE_S

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop_engine(tmp_path / "home")


def call(home: Path, status: EngineStatus, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {read_token(home)}"}
    return httpx.request(method, f"{status.url}/v1{path}", headers=headers, trust_env=False, timeout=70, **options)


def started_machine(home: Path, status: EngineStatus, command: list[str], policy: str) -> dict[str, Any]:
    config = {"image": "i", "init": {"exec": command}, "restart": {"policy": policy}}
    machine = call(home, status, "POST", "/apps/app/machines", json={"config": config}).json()
    call(home, status, "GET", f"/apps/app/machines/{machine['id']}/wait?state=started")
    return machine


def test_it_starts_once_however_many_ask_and_stops(home: Path) -> None:
    assert not engine_status(home).running
    found: list[EngineStatus] = []
    askers = [threading.Thread(target=lambda: found.append(start_engine(home))) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len({(status.url, status.pid) for status in found}) == 1
    assert stop_engine(home)
    assert not engine_status(home).running
    assert not stop_engine(home)


def test_one_that_lost_the_race_to_start_does_not_come_up_after_the_stop(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = start_engine(home)
    losers: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def spawn(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        losers.append(popen(*arguments, **options))
        return losers[-1]

    monkeypatch.setattr(subprocess, "Popen", spawn)
    first_look = iter([EngineStatus(running=False)])
    monkeypatch.setattr(daemon, "engine_status", lambda home: next(first_look, None) or engine_status(home))
    assert start_engine(home) == winner
    assert [loser.returncode for loser in losers] == [-signal.SIGKILL]


def test_only_its_owner_can_read_its_files_and_only_its_token_opens_it(home: Path) -> None:
    status = start_engine(home)
    assert (home / "token").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    refused = httpx.get(f"{status.url}/v1/apps", trust_env=False)
    assert refused.status_code == 401
    stolen = {"Authorization": f"Bearer {read_token(home)}", "Host": "evil.example"}
    assert httpx.get(f"{status.url}/v1/apps", headers=stolen, trust_env=False).status_code == 403


def test_killed_and_started_again_its_machines_are_there_and_their_states_true(home: Path) -> None:
    status = start_engine(home)
    call(home, status, "POST", "/apps", json={"app_name": "app", "org_slug": "personal"})
    task = started_machine(home, status, ["sleep", "1000"], "no")
    service = started_machine(home, status, ["sleep", "1000"], "always")
    assert status.pid
    os.kill(status.pid, signal.SIGKILL)
    os.waitpid(status.pid, 0)  # it is a child of this process, which started it
    again = start_engine(home)
    assert again.pid != status.pid
    ended = call(home, again, "GET", f"/apps/app/machines/{task['id']}").json()
    assert ended["state"] == "stopped"
    exited = next(event for event in ended["events"] if event["type"] == "exit")
    assert exited["request"]["exit_event"]["exit_code"] == -1
    call(home, again, "GET", f"/apps/app/machines/{service['id']}/wait?state=started")
    listed = call(home, again, "GET", "/apps/app/machines").json()
    assert {machine["id"]: machine["state"] for machine in listed} == {task["id"]: "stopped", service["id"]: "started"}


def test_the_client_gives_an_idle_connection_up_before_the_server_does() -> None:
    """One that is closed while a call is on its way leaves open what was done."""
    kept_s = httpx.Limits().keepalive_expiry
    assert kept_s is not None
    assert 10 * kept_s < KEEP_ALIVE_S


def test_a_stop_ends_what_runs_and_parked_waits_do_not_hold_it_up(home: Path) -> None:
    status = start_engine(home)
    call(home, status, "POST", "/apps", json={"name": "app", "org_slug": "personal"})
    machine = started_machine(home, status, ["sleep", "1000"], "no")

    def park() -> None:
        with suppress(httpx.HTTPError):  # the engine may be gone before it answers
            call(home, status, "GET", f"/apps/app/machines/{machine['id']}/wait?state=stopped")

    waiting = threading.Thread(target=park)
    waiting.start()
    assert stop_engine(home, timeout_s=15)
    waiting.join()
    again = start_engine(home)
    stopped = call(home, again, "GET", f"/apps/app/machines/{machine['id']}").json()
    assert stopped["state"] == "stopped"
    assert stopped["events"][0]["request"]["exit_event"]["requested_stop"] is True
