"""Each row of the two tables, asked over HTTP of a machine in that state and lease."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.engine.faults.settings import Latency, Settings
from reconciler.engine.machines.call_rules import (
    ANY,
    CALL_RULES,
    LEASE_RULES,
    STILL_ACTIVE,
    CallRule,
    call_rule,
    decide_lease,
)
from reconciler.engine.models import Lease
from tests.support.engine_api import Ask, error_of, make, with_api
from tests.support.world import World

pytestmark = pytest.mark.slow

STATES = (
    *("created", "starting", "started", "stopping", "stopped", "suspended", "failed"),
    *("replacing", "restarting", "destroying", "destroyed"),
)
SLOW = Settings(latency=Latency(prepare_s=1e6, replace_s=1e6, start_s=1e6, destroy_s=1e6, reap_s=100))
REQUESTS = {
    "start": ("POST", "/start", None),
    "stop": ("POST", "/stop", None),
    "update": ("POST", "", {"config": {"image": "j", "init": {"cmd": ["run", "1000"]}}}),
    "destroy": ("DELETE", "", None),
    "kill": ("DELETE", "?force=true", None),
    "lease": ("POST", "/lease", {"ttl": 10}),
    "exec": ("POST", "/exec", {"command": ["hello"]}),
    "restart": ("POST", "/restart", None),
    "suspend": ("POST", "/suspend", None),
    "signal": ("POST", "/signal", {"signal": "SIGUSR1"}),
    "cordon": ("POST", "/cordon", None),
    "release": ("DELETE", "/lease", None),
    "metadata": ("POST", "/metadata/key", {"value": "x"}),
    "get": ("GET", "", None),
    "wait": ("GET", "/wait?state=stopped&timeout=1", None),
}
# What the state is soon after each effect, where the platform's windows are endless and nothing really runs.
AFTER = {
    "start": "starting",
    "stop": "stopped",
    "discard": "stopped",
    "restart": "started",
    "reboot": "replacing",
    "replace": "replacing",
}
OF_WHAT_RUNS = ("run", "suspend", "signal")


def cases() -> list[tuple[CallRule, str]]:
    found = []
    for row in CALL_RULES:
        if row.effect in OF_WHAT_RUNS:
            continue  # something must really run: its own tests are with its runtimes, and with the leases below
        explicit = {state for other in CALL_RULES if other.call == row.call for state in other.states}
        states = row.states if ANY not in row.states else tuple(state for state in STATES if state not in explicit)
        found += [(row, state) for state in states]
    return found


def call_on(ask: Ask, machine: str, call: str, **headers: str) -> Awaitable[Any]:
    method, path, body = REQUESTS[call]
    return ask(method, f"/machines/{machine}{path}", json=body, headers=headers)


async def call_soon(ask: Ask, machine: str, call: str) -> Any:
    """The reply; None where the engine holds it back until its endless window is over."""
    asked = asyncio.ensure_future(call_on(ask, machine, call))
    await asyncio.wait({asked}, timeout=0.5)
    if not asked.done():
        asked.cancel()
        return None
    return asked.result()


async def put_into(world: World, machine_id: str, state: str) -> None:
    store = world.engine.store
    machine = store.machine(machine_id)
    assert machine
    if state == STILL_ACTIVE:
        store.save(replace(machine, state="stopped", is_prepared=True))
        await world.engine.start_machine("app", machine_id, None)
        return
    store.save(replace(machine, state=state))


@pytest.mark.parametrize(("row", "state"), cases(), ids=lambda value: value if isinstance(value, str) else value.call)
def test_each_row_is_what_the_engine_does(row: CallRule, state: str) -> None:
    settings = SLOW if state != STILL_ACTIVE else Settings(latency=Latency(reap_s=100))

    async def scenario(world: World, ask: Ask) -> None:
        machine = await make(ask, *(("run", "1000") if state != STILL_ACTIVE else ("exit", "0")))
        await put_into(world, machine, state)
        if state == STILL_ACTIVE:
            await ask("GET", f"/machines/{machine}/wait?state=stopped")
        before = (await ask("GET", f"/machines/{machine}")).json()["state"]
        sent = world.engine.clock.monotonic()
        reply = await call_soon(ask, machine, row.call)
        seen = (await ask("GET", f"/machines/{machine}")).json()["state"]
        assert world.engine.clock.monotonic() - sent < 1
        if row.effect == "refuse":
            assert error_of(reply) == (row.status, row.text.format(state=before))
            assert seen == before
        elif row.effect in {"nothing", "cordon"}:
            assert reply is None or reply.status_code == 200
            assert seen == before
        else:
            assert reply is None or reply.status_code == 200
            assert seen == AFTER.get(row.effect, "destroying" if settings is SLOW else "destroyed")

    with_api(scenario, settings)


def test_the_tables_know_every_call_in_every_state_and_under_every_lease() -> None:
    for call in {row.call for row in CALL_RULES}:
        for state in (*STATES, STILL_ACTIVE, "a state of the future"):
            assert call_rule(call, state).call == call
    for row in LEASE_RULES:
        for call in row.calls:
            assert decide_lease(call, "own") == ("refuse" if call == "exec" else "pass")


@pytest.mark.parametrize("holder", ["free", "own", "foreign"])
@pytest.mark.parametrize("call", sorted(REQUESTS))
async def test_each_call_meets_the_lease_as_the_table_says(world: World, ask: Ask, call: str, holder: str) -> None:
    machine = await make(ask, "run", "1000")
    await world.context.clock.sleep(1)
    if call in {"exec", "suspend", "signal"}:
        await ask("POST", f"/machines/{machine}/start")
    if holder != "free":
        lease = Lease(
            nonce="mine",
            expires_at=world.engine.clock.now().timestamp() + 20,
            owner="someone@tokens.fly.io",
            description="",
            version="",
        )
        store = world.engine.store
        found = store.machine(machine)
        assert found
        store.save(replace(found, lease=lease))
    sent = world.engine.clock.monotonic()
    headers = {"fly-machine-lease-nonce": "mine" if holder == "own" else "other"} if holder != "free" else {}
    reply = await call_on(ask, machine, call, **headers)
    took_s = world.engine.clock.monotonic() - sent
    match decide_lease(call, holder):
        case "pass":
            assert reply.status_code in {200, 201, 204}, reply.text
            assert took_s < 1.5
        case "refuse":
            assert reply.status_code == 409
            assert "lease currently held by someone@tokens.fly.io, expires at 2026-01-01T00:00:2" in reply.text
            assert took_s == 0
        case "wait":
            assert reply.status_code == 200
            assert 19 <= took_s <= 20
        case "404":
            assert error_of(reply) == (404, "lease not found")


async def test_a_start_has_its_whole_budget_of_retries_after_a_stop(world: World, ask: Ask) -> None:
    machine = await make(ask, "exit", "1", skip_launch=False, restart={"policy": "on-failure", "max_retries": 3})
    await world.context.clock.sleep(0.5)
    begun = len(world.runtime.starts)
    assert begun == 2  # it waits for its second retry
    await ask("POST", f"/machines/{machine}/stop", json={})
    await world.context.clock.sleep(0.01)
    await ask("POST", f"/machines/{machine}/start")
    await world.context.clock.sleep(60)
    assert len(world.runtime.starts) == begun + 4
