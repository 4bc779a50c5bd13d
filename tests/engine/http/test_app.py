"""The engine's answers over HTTP: statuses, texts and shapes, on virtual time."""

import pytest

from reconciler.engine.faults.settings import Latency, Settings
from tests.support.engine_api import Ask, error_of, make
from tests.support.world import World

SLOW = Settings(latency=Latency(prepare_s=5, replace_s=3))


async def test_a_name_is_taken_by_a_live_machine_and_free_after_its_end(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1")
    taken = await ask("POST", "/machines", json={"name": "m", "config": {"image": "i"}})
    assert error_of(taken) == (
        409,
        f'already_exists: unique machine name violation, machine ID {machine} already exists with name "m"',
    )
    assert (await ask("DELETE", f"/machines/{machine}")).json() == {"ok": True}
    await world.context.clock.sleep(1)
    gone = await ask("GET", f"/machines/{machine}")
    assert (gone.status_code, gone.json()["state"]) == (200, "destroyed")
    assert (await ask("GET", "/machines")).json() == []
    assert await make(ask, "run", "1") != machine


@pytest.mark.world(SLOW)
async def test_wrong_states_are_refused_with_flys_texts(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1000", restart={"policy": "no"})
    early = await ask("POST", f"/machines/{machine}/start")
    assert error_of(early) == (412, "failed_precondition: unable to start machine from current state: 'created'")
    await world.context.clock.sleep(6)
    assert (await ask("POST", f"/machines/{machine}", json={"config": {"image": "j"}})).status_code == 200
    during = await ask("POST", f"/machines/{machine}/start")
    assert error_of(during) == (412, "failed_precondition: machine getting replaced, refusing to start")
    again = await ask("POST", f"/machines/{machine}", json={"config": {"image": "k"}})
    assert again.status_code == 409
    assert "concurrent update" in again.json()["error"]
    await world.context.clock.sleep(4)
    assert (await ask("GET", f"/machines/{machine}")).json()["state"] == "stopped"


async def test_a_running_machine_is_not_destroyed_without_force(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1000", skip_launch=False)
    await world.context.clock.sleep(1)
    refused = await ask("DELETE", f"/machines/{machine}")
    assert refused.status_code == 412
    assert "not currently stopped, suspended, failed or created" in refused.json()["error"]
    started = await ask("POST", f"/machines/{machine}/start")
    assert started.json()["previous_state"] == "started"
    assert (await ask("DELETE", f"/machines/{machine}?force=true")).status_code == 200


async def test_someone_elses_lease_refuses_writes_and_delays_stops(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1000", skip_launch=False)
    await world.context.clock.sleep(1)
    taken = await ask("POST", f"/machines/{machine}/lease", json={"ttl": 30, "description": "mine"})
    assert taken.status_code == 201
    lease = taken.json()["data"]
    assert lease["description"] == "mine"
    for path, body in (("", {"config": {"image": "j"}}), ("/start", None), ("/lease", {"ttl": 5})):
        refused = await ask("POST", f"/machines/{machine}{path}", json=body)
        assert refused.status_code == 409
        assert "lease currently held by" in refused.json()["error"]
    began = world.context.clock.monotonic()
    assert (await ask("POST", f"/machines/{machine}/stop")).status_code == 200
    assert 29 <= world.context.clock.monotonic() - began <= 31
    nonce = {"fly-machine-lease-nonce": lease["nonce"]}
    assert (await ask("GET", f"/machines/{machine}/lease")).status_code == 404
    assert (await ask("DELETE", f"/machines/{machine}/lease", headers=nonce)).status_code == 404


async def test_waits(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "0.01", restart={"policy": "no"})
    await world.context.clock.sleep(1)
    path = f"/machines/{machine}/wait"
    assert (await ask("GET", f"{path}?timeout=61&state=stopped")).status_code == 400
    expired = await ask("GET", f"{path}?timeout=2&state=started")
    assert error_of(expired) == (
        408,
        "deadline_exceeded: machine failed to reach desired state, started, currently stopped",
    )
    fence = (await ask("GET", f"/machines/{machine}")).json()["events"][0]["id"]
    await ask("POST", f"/machines/{machine}/start")
    await world.context.clock.sleep(1)
    after = await ask("GET", f"{path}?timeout=2&state=started&state=destroyed&from_event_id={fence}")
    assert after.json()["ok"] is True  # it was started, after the fence, though it rests again
    superseded = await ask("GET", f"{path}?state=stopped&version=01AAAAAAAAAAAAAAAAAAAAAAAA")
    assert "currently replaced" in superseded.json()["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400),
        (b"{", 400),
        (b'{"config": {}}', 400),
        (b'{"config": {"image": "i", "env": {"A": 1}}}', 400),
        (b'{"config": {"image": "i"}, "region": "moon"}', 400),
        (b'{"config": {"image": "i", "files": [{"guest_path": "/../x", "raw_value": ""}]}}', 400),
    ],
)
async def test_odd_creates(ask: Ask, body: bytes, status: int) -> None:
    reply = await ask("POST", "/machines", content=body)
    assert reply.status_code == status
    assert reply.headers["fly-request-id"]


async def test_an_empty_array_as_the_stop_body_is_refused_as_go_would(ask: Ask) -> None:
    machine = await make(ask, "run", "1")
    refused = await ask("POST", f"/machines/{machine}/stop", json=[])
    assert error_of(refused) == (400, "json: cannot unmarshal array into Go value of type main.stopRequest")


async def test_checks_pass_while_the_machine_runs(world: World, ask: Ask) -> None:
    check = {"type": "tcp", "port": 1}
    services = [{"internal_port": 80, "protocol": "tcp", "checks": [check]}]
    machine = await make(ask, "run", "100", skip_launch=False, checks={"up": check}, services=services)
    await world.context.clock.sleep(5)
    found = (await ask("GET", f"/machines/{machine}")).json()
    assert found["state"] == "started"
    assert [(one["name"], one["status"]) for one in found["checks"]] == [
        ("up", "passing"),
        ("servicecheck-00-tcp-80", "passing"),
    ]
    await world.context.clock.sleep(200)
    assert (await ask("GET", f"/machines/{machine}")).json()["checks"] == []
