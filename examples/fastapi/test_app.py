"""The app's tests: its own routes, and real runs on an engine. Run `pytest` here."""

from pathlib import Path

import pytest
from app import app
from fastapi.testclient import TestClient


@pytest.fixture
def client(machines):
    with TestClient(app) as client:  # which runs the lifespan: clients are opened, and closed
        yield client


def start(client, repository, key=None):
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/releases", json={"repository": repository}, headers=headers)


def test_a_run_is_started_and_its_end_and_its_output_are_told(client):
    started = start(client, "acme/shop")
    place = started.headers["location"]
    assert (started.status_code, place) == (202, f"/runs/{started.json()['run']}")
    assert client.get(f"{place}/log").text == "v1 of acme/shop\n"
    ended = client.get(place)
    assert ended.status_code == 200
    assert ended.json() == {"run": started.json()["run"], "ok": True, "outcome": "succeeded", "exit_code": 0}


def test_a_failed_run_is_an_answer(client):
    ended = client.get(start(client, "acme/none").headers["location"], params={"wait": 30})
    assert (ended.status_code, ended.json()["ok"], ended.json()["outcome"]) == (200, False, "failed")
    assert ended.json()["exit_code"] == 3


def test_a_repeated_request_gets_the_same_run(client, runs_started):
    first, second = (start(client, "acme/shop", key="request-1") for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert runs_started() == 1
    other = start(client, "acme/none", key="request-1")
    assert (other.status_code, other.json()["outcome"], runs_started()) == (409, "refused", 1)


def test_a_client_is_told_to_come_back_while_all_machines_run(client, tmp_path: Path):
    place = start(client, "acme/big").headers["location"]
    assert (client.get(place).status_code, client.get(place, params={"wait": 0.01}).status_code) == (202, 202)
    busy = start(client, "acme/shop")
    assert (busy.status_code, busy.json()["outcome"], busy.headers["retry-after"]) == (503, "busy", "10")
    (tmp_path / "go").touch()
    assert client.get(place, params={"wait": 30}).json()["ok"]


@pytest.mark.parametrize("repository", ["", "acme", "--help/x", "acme/shop; ls", "../x", 7])
def test_what_is_no_repository_reaches_no_machine(client, runs_started, repository):
    assert (start(client, repository).status_code, runs_started()) == (422, 0)


def test_an_unknown_run_is_not_found(client):
    assert client.get("/runs/get-release-iad-0/01ARZ3NDEKTSV4RRFFQ69G5FAV").status_code == 404


@pytest.mark.parametrize(("fault", "times", "status"), [("unauthenticated", 1, 502), ("unavailable", "always", 503)])
def test_a_platform_that_does_not_answer_is_no_fault_of_the_caller(client, machines, fault, times, status):
    machines.fault(fault, call="list", times=times)
    assert start(client, "acme/shop").status_code == status
