"""Faults on purpose look as they do on the platform, and rules match what they name."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.engine.faults.rules import (
    ALWAYS,
    API_FAULTS,
    ENGINE_FAULTS,
    REPLY_FAULTS,
    FaultConfigError,
    FaultRules,
    Rule,
)
from reconciler.engine.faults.settings import Latency, Settings
from reconciler.errors import ApiErrorKind as K
from reconciler.machines_api.errors import classify
from tests.support.engine_api import Ask, error_of, make
from tests.support.world import World

# What each error of the platform means to a client; together they are every class that is known.
MEANS = {
    "host_capacity": K.CAPACITY,
    "host_memory": K.CAPACITY,
    "host_resources": K.CAPACITY,
    "region_capacity": K.CAPACITY,
    "region_capacity_503": K.CAPACITY,
    "no_capacity": K.CAPACITY,
    "volume_host_full": K.CAPACITY,
    "volume_claimed": K.VOLUME_BUSY,
    "volume_bound": K.VOLUME_BUSY,
    "concurrent_update": K.CONCURRENT_UPDATE,
    "concurrent_replace": K.CONCURRENT_UPDATE,
    "not_startable": K.SETTLING,
    "getting_replaced": K.SETTLING,
    "still_active": K.SETTLING,
    "stale_metadata": K.REFUSED,
    "host_maintenance": K.HOST_MAINTENANCE,
    "governor": K.HOST_MAINTENANCE,
    "image_not_ready": K.IMAGE_NOT_READY,
    "manifest_failed": K.IMAGE_NOT_READY,
    "wait_expired": K.WAIT_EXPIRED,
    "upstream_timeout": K.UNCLEAR,
    "rate_limited": K.RATE_LIMITED,
    "exec_under_lease": K.REFUSED,
    "app_unknown": K.NOT_FOUND,
    "app_without_rows": K.UNCLEAR,
    "unauthenticated": K.UNAUTHORIZED,
    "unauthorized": K.FORBIDDEN,
    "trial": K.QUOTA,
    "machine_limit": K.QUOTA,
    "cursor_expired": K.BAD_INPUT,
    "server_error": K.UNCLEAR,
    "bad_gateway": K.UNCLEAR,
    "unavailable": K.UNCLEAR,
    "gateway_timeout": K.UNCLEAR,
}


@pytest.mark.parametrize("fault", API_FAULTS)
async def test_each_refusal_comes_with_its_status_and_text_once_and_is_understood(
    world: World, ask: Ask, fault: str
) -> None:
    machine = await make(ask, "run", "1")
    world.engine.faults.add(fault, calls=("get",))
    refused = await ask("GET", f"/machines/{machine}")
    status, text, word = API_FAULTS[fault]
    assert refused.status_code == status
    assert text in (refused.text if text.startswith("<") else refused.json()["error"])
    assert word is None or refused.json()["status"] == word
    assert classify(status, f"{word or ''} {text}") is MEANS[fault]
    assert (await ask("GET", f"/machines/{machine}")).status_code == 200


@pytest.mark.parametrize(
    ("fault", "is_done"),
    [
        ({"fault": "refuse_connection"}, False),
        ({"fault": "lose_request"}, False),
        ({"fault": "server_error"}, False),
        ({"fault": "lose_reply"}, True),
        ({"fault": "half_reply"}, True),
        ({"fault": "html"}, True),
        ({"fault": "late_reply", "seconds": 3.0}, True),
        ({"fault": "late_request", "seconds": 3.0}, True),
        ({"fault": "gateway_timeout", "is_committed": True}, True),
    ],
    ids=lambda value: value["fault"] if isinstance(value, dict) else "",
)
async def test_a_spoiled_reply_says_nothing_of_whether_it_was_done(
    world: World, ask: Ask, fault: dict[str, Any], is_done: bool
) -> None:
    world.engine.faults.add(calls=("create",), **fault)
    try:
        reply = await ask("POST", "/machines", json={"name": "m", "config": {"image": "i"}})
        assert reply.is_success or fault.get("is_committed") or fault["fault"] == "server_error"
    except httpx.TransportError:
        assert fault["fault"] in {"refuse_connection", "lose_request", "lose_reply"}
    assert bool(world.machines()) is is_done


def test_a_rule_strikes_what_it_names_after_so_many_so_many_times() -> None:
    rule = Rule(fault="server_error", calls=("start",), machine="work-*", after=1, times=2)

    def strikes(**changes: Any) -> bool:
        place: dict[str, Any] = {
            "call": "start",
            "app": "app",
            "machine": "work-1",
            "image": "i",
            "request": 0,
        } | changes
        return rule.strikes(**place)

    assert not strikes(call="stop")
    assert not strikes(machine="web-1")
    assert [strikes() for _ in range(5)] == [False, True, True, False, False]


def test_the_first_rule_that_matches_strikes_and_the_others_count_nothing() -> None:
    rules = FaultRules()
    first = rules.add("server_error", calls=("get",))
    second = rules.add("unavailable", times=ALWAYS)
    assert rules.find(("server_error", "unavailable"), call="get") is first
    assert (first.struck, second.struck) == (1, 0)
    assert rules.find(("server_error", "unavailable"), call="get") is second
    assert rules.find(("html",), call="get") is None


@pytest.mark.parametrize(
    ("fault", "times", "strikes"), [("vanish", None, 1), ("unpullable", None, 5), ("unpullable", 2, 2)]
)
def test_a_fault_that_lasts_strikes_until_it_is_told_how_often(fault: str, times: int | None, strikes: int) -> None:
    rules = FaultRules([Rule(fault=fault, times=times)])
    assert sum(rules.find((fault,), machine="m") is not None for _ in range(5)) == strikes


def test_a_share_strikes_the_same_part_of_the_calls_in_each_engine() -> None:
    def struck() -> list[bool]:
        rule = Rule(fault="lose_reply", share=0.3)
        return [rule.strikes(call="get", app="a", machine="m", image="i", request=None) for _ in range(1000)]

    assert struck() == struck()
    assert 200 < sum(struck()) < 400


def test_a_request_is_counted_from_0_and_struck_by_its_number() -> None:
    rules = FaultRules()
    rules.add("late_reply", request=1)
    struck = [rules.find(("late_reply",), call="get", request=rules.next_request()) is not None for _ in range(3)]
    assert struck == [False, True, False]
    assert rules.requests == 3


def test_a_fault_that_does_not_exist_is_no_rule() -> None:
    with pytest.raises(FaultConfigError, match="unknown fault 'nonsense'; known: "):
        FaultRules().add("nonsense")


@pytest.mark.world(Settings(latency=Latency(list_lag_s=2)))
async def test_lists_lag_and_one_machine_read_by_its_id_does_not(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1")
    assert (await ask("GET", "/machines")).json() == []
    assert (await ask("GET", f"/machines/{machine}")).json()["state"] == "created"
    await world.context.clock.sleep(2.02)
    assert [one["state"] for one in (await ask("GET", "/machines")).json()] == ["created"]
    await ask("DELETE", f"/machines/{machine}?force=true")
    assert [one["state"] for one in (await ask("GET", "/machines")).json()] == ["created"]
    await world.context.clock.sleep(2.1)
    assert (await ask("GET", "/machines")).json() == []


async def test_a_list_can_be_empty_once(world: World, ask: Ask) -> None:
    await make(ask, "run", "1")
    world.engine.faults.add("empty_list", calls=("list",))
    assert [len((await ask("GET", "/machines")).json()) for _ in range(2)] == [0, 1]


async def test_a_dropped_start_is_a_success_without_an_event(world: World, ask: Ask) -> None:
    machine = await make(ask, "exit", "0")
    await world.context.clock.sleep(1)
    world.engine.faults.add("drop_start")
    dropped = await ask("POST", f"/machines/{machine}/start")
    assert dropped.json()["previous_state"] == "stopped"
    assert world.runtime.starts == []
    await ask("POST", f"/machines/{machine}/start")
    assert len(world.runtime.starts) == 1


@pytest.mark.parametrize("is_running", [False, True])
async def test_a_reverted_update_is_taken_back_a_moment_later(world: World, ask: Ask, is_running: bool) -> None:
    machine = await make(ask, "run", "1000", skip_launch=not is_running)
    await world.context.clock.sleep(1)
    before = (await ask("GET", f"/machines/{machine}")).json()
    world.engine.faults.add("revert_update")
    body = {"config": {"image": "j", "init": {"cmd": ["run", "1"]}}}
    accepted = await ask("POST", f"/machines/{machine}", json=body)
    assert (accepted.status_code, accepted.json()["config"]["image"]) == (200, "j")
    await world.context.clock.sleep(1)
    after = (await ask("GET", f"/machines/{machine}")).json()
    for key in ("state", "instance_id", "config"):
        assert after[key] == before[key]
    assert [(event["type"], event["source"]) for event in after["events"][:2]] == [
        ("revert", "flyd"),
        ("update", "user"),
    ]
    assert len(world.runtime.starts) == int(is_running)


async def test_a_run_without_memory_exits_137_and_says_so(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1000", restart={"policy": "no"})
    await world.context.clock.sleep(1)
    world.engine.faults.add("out_of_memory", image="i")
    await ask("POST", f"/machines/{machine}/start")
    await ask("GET", f"/machines/{machine}/wait?state=stopped")
    exited = (await ask("GET", f"/machines/{machine}")).json()["events"][0]["request"]["exit_event"]
    assert (exited["exit_code"], exited["oom_killed"]) == (137, True)


async def test_an_image_that_cannot_be_pulled_never_starts_and_the_log_says_why(world: World, ask: Ask) -> None:
    world.engine.faults.add("unpullable", image="i")
    machine = await make(ask, "run", "1", skip_launch=False)
    await world.context.clock.sleep(1)
    seen = (await ask("GET", f"/machines/{machine}")).json()
    assert seen["state"] == "failed"
    assert [event["type"] for event in seen["events"]] == ["launch"]
    logs = await world.context.client.logs.read("app", machine_id=machine, next_token="0")
    assert "unable to pull image" in logs.lines[0].message


async def test_a_machine_on_a_dead_host_shows_no_config_and_answers_nothing(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1", metadata={"a": "b"})
    await world.context.clock.sleep(1)
    world.engine.faults.add("host_unreachable", machine="m")
    for seen in ((await ask("GET", f"/machines/{machine}")).json(), (await ask("GET", "/machines")).json()[0]):
        assert (seen["host_status"], seen["config"]) == ("unreachable", None)
        assert "metadata" not in seen["incomplete_config"]
    assert (await ask("POST", f"/machines/{machine}/start")).status_code == 408
    assert world.runtime.starts == []
    assert (await ask("DELETE", f"/machines/{machine}?force=true")).status_code == 200


async def test_leases_can_be_lost_and_stolen_and_machines_vanish(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1")
    await world.context.clock.sleep(1)
    nonce = (await ask("POST", f"/machines/{machine}/lease", json={"ttl": 60})).json()["data"]["nonce"]
    headers = {"fly-machine-lease-nonce": nonce}
    world.engine.faults.add("lose_lease", calls=("get_lease",))
    assert (await ask("GET", f"/machines/{machine}/lease")).status_code == 404
    world.engine.faults.add("steal_lease", calls=("start",), seconds=9.0)
    assert (await ask("POST", f"/machines/{machine}/start", headers=headers)).status_code == 409
    world.engine.faults.add("foreign_start", calls=("get_lease",))
    await ask("GET", f"/machines/{machine}/lease")
    assert len(world.runtime.starts) == 1
    world.engine.faults.add("vanish", calls=("get",))
    assert (await ask("GET", f"/machines/{machine}")).json()["state"] in {"destroying", "destroyed"}


@pytest.mark.world(Settings(limits_rates=True))
async def test_rates_are_those_that_are_documented(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1")
    statuses = [(await ask("GET", f"/machines/{machine}/lease")).status_code for _ in range(5)]
    assert statuses == [404, 404, 404, 429, 429]
    statuses = [(await ask("GET", f"/machines/{machine}")).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    await world.context.clock.sleep(1)
    limited = [await ask("GET", f"/machines/{machine}/lease") for _ in range(2)]
    assert [reply.status_code for reply in limited] == [404, 429]
    assert error_of(limited[1])[1] == "resource_exhausted: rate limit exceeded"


def test_every_fault_has_a_test_here() -> None:
    source = Path(__file__).read_text()
    assert [fault for fault in (*REPLY_FAULTS, *ENGINE_FAULTS) if f'"{fault}"' not in source] == []
    assert set(MEANS) == set(API_FAULTS)
