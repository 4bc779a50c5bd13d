"""The client's tests. Install pytest, httpx and machines-reconciler, and run `pytest`."""

import os
import subprocess
import sys
import threading

import httpx
import pytest
from client import start_and_wait


def config(*words):
    return {"image": "registry.example/work:1", "init": {"exec": list(words)}, "restart": {"policy": "no"}}


def test_the_code_is_the_commands_own(live_engine):
    live_engine.create_app("work")
    command = config("sh", "-c", "echo working; exit 3")
    assert start_and_wait(live_engine.client(), "work", command) == 3
    assert live_engine.logs("work") == ["working"]
    assert live_engine.machines("work") == []


def test_it_waits_until_the_command_has_ended(live_engine, tmp_path):
    live_engine.create_app("work")
    command = config("sh", "-c", f'echo ready; until test -e "{tmp_path}/go"; do sleep 0.01; done; exit 4')
    codes = []
    waiting = threading.Thread(target=lambda: codes.append(start_and_wait(live_engine.client(), "work", command)))
    waiting.start()
    live_engine.wait_for_log("work", "ready")
    assert codes == []
    (tmp_path / "go").touch()
    waiting.join()
    assert codes == [4]


def test_a_program_that_reads_the_environment(live_engine):
    live_engine.create_app("work")
    program = "import os; print(os.environ['FLY_FLAPS_BASE_URL'], len(os.environ['FLY_API_TOKEN']))"
    environment = os.environ | live_engine.environment
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [live_engine.url, str(len(live_engine.token))]


def test_an_hour_is_waited_for(virtual_engine):
    virtual_engine.create_app("work")
    assert start_and_wait(virtual_engine.client(), "work", config("run", "3600", "exit", "5")) == 5
    assert virtual_engine.clock.monotonic() >= 3600


@pytest.mark.parametrize("fault", ["lose_request", "lose_reply", "refuse_connection"])
def test_one_machine_runs_whatever_the_network_does(virtual_engine, fault):
    virtual_engine.create_app("work")
    virtual_engine.script("say working run 60 exit 0")
    lost = virtual_engine.fault(fault, call="create", times=2)
    assert start_and_wait(virtual_engine.client(), "work", config("work")) == 0
    assert lost.struck == 2
    assert virtual_engine.logs("work") == ["working"]
    assert virtual_engine.machines("work") == []


def test_a_network_that_stays_away_is_an_error(virtual_engine):
    virtual_engine.create_app("work")
    virtual_engine.fault("refuse_connection", call="create", times="always")
    with pytest.raises(httpx.ConnectError):
        start_and_wait(virtual_engine.client(), "work", config("exit", "0"), attempts=3)
    assert virtual_engine.requests == ["POST /apps/work/machines"] * 3


@pytest.mark.engine_settings(latency="fly")
def test_it_works_at_the_platforms_own_pace(virtual_engine):
    virtual_engine.create_app("work")
    assert start_and_wait(virtual_engine.client(), "work", config("exit", "6")) == 6
    assert virtual_engine.clock.monotonic() >= 5


async def test_a_lease_ends_by_itself(virtual_engine):
    virtual_engine.create_app("work")
    async with virtual_engine.async_client() as api:
        machine = (await api.post("/apps/work/machines", json={"config": config("run", "9999")})).json()
        place = f"/apps/work/machines/{machine['id']}/lease"
        assert (await api.post(place, json={"ttl": 3000})).status_code == 201
        assert (await api.post(place, json={"ttl": 3000})).status_code == 409
        await virtual_engine.clock.sleep(3000)
        assert (await api.post(place, json={"ttl": 3000})).status_code == 201
