"""A machine is made into JSON once for each change of what it shows, and reading it asks no database."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from reconciler.engine.engine import Engine
from reconciler.engine.http import serializers
from reconciler.engine.models import CheckResult
from tests.support.engine_api import Ask, make
from tests.support.world import World

CHECKS = {"up": {"type": "tcp", "port": 80}}


def fresh(engine: Engine, machine_id: str, **options: Any) -> dict[str, Any]:
    """The machine as it is shown, made anew."""
    machine = engine.store.machine(machine_id)
    assert machine
    return serializers.machine_json(
        machine,
        engine.leases.current(machine),
        engine.settings.behaviour,
        is_unreachable=engine.is_unreachable(machine),
        check_results=engine.check_results.of(machine),
        **options,
    )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The machines that were made into JSON."""
    found: list[str] = []
    make_json = serializers.machine_json

    def noted(machine: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        found.append(machine.id)
        return make_json(machine, *arguments, **options)

    monkeypatch.setattr(serializers, "machine_json", noted)
    return found


async def test_it_is_made_once_for_each_change(world: World, ask: Ask, made: list[str]) -> None:
    one, other = await make(ask, "run", "1"), await make(ask, "run", "1", name="other")
    await world.context.clock.sleep(1)
    made.clear()
    for _ in range(3):
        await ask("GET", f"/machines/{one}")
        await ask("GET", "/machines")
    assert made == [one, other]
    await ask("POST", f"/machines/{one}/metadata/key", json={"value": "1"})
    await ask("GET", "/machines")
    await ask("GET", f"/machines/{one}")
    assert made == [one, other, one]


async def test_reading_asks_no_database(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1000", skip_launch=False)
    await world.context.clock.sleep(1)
    asked: list[str] = []
    world.engine.store._connection.set_trace_callback(asked.append)
    for path in ("", "?summary=true", "/events", "/lease", "/metadata", "/memory", "/wait?state=started"):
        await ask("GET", f"/machines/{machine}{path}")
    await ask("GET", "/machines")
    assert asked == []
    await ask("GET", f"/machines/{machine}/versions")
    assert len(asked) == 1


Change = Callable[[World, Ask, str], Awaitable[object]]


async def a_result(world: World, status: str) -> None:
    [machine] = world.engine.store.machines("app")
    world.engine.check_results.put(machine, "up", CheckResult(status=status, output="", updated_ms=1))


async def without_rules(world: World) -> None:
    world.engine.faults.rules.clear()


async def begin_checks(world: World) -> None:
    [machine] = world.engine.store.machines("app")
    world.engine.check_results.begin(machine, ["up"], CheckResult(status="warning", output="", updated_ms=0))


async def end_checks(world: World) -> None:
    [machine] = world.engine.store.machines("app")
    world.engine.check_results.end(machine)


async def an_unreachable_host(world: World) -> None:
    world.engine.faults.add("host_unreachable")


CHANGES: dict[str, Change] = {
    "start": lambda _world, ask, path: ask("POST", f"{path}/start"),
    "checks begin": lambda world, _ask, _path: begin_checks(world),
    "a check passes": lambda world, _ask, _path: a_result(world, "passing"),
    "a check fails": lambda world, _ask, _path: a_result(world, "critical"),
    "checks end": lambda world, _ask, _path: end_checks(world),
    "lease": lambda _world, ask, path: ask("POST", f"{path}/lease", json={"ttl": 30}),
    "the lease expires": lambda world, _ask, _path: world.context.clock.sleep(31),
    "metadata": lambda _world, ask, path: ask("POST", f"{path}/metadata/key", json={"value": "1"}),
    "no metadata": lambda _world, ask, path: ask("DELETE", f"{path}/metadata/key"),
    "cordon": lambda _world, ask, path: ask("POST", f"{path}/cordon"),
    "the host is down": lambda world, _ask, _path: an_unreachable_host(world),
    "the host is up": lambda world, _ask, _path: without_rules(world),
    "stop": lambda _world, ask, path: ask("POST", f"{path}/stop"),
    "update": lambda _world, ask, path: ask("POST", path, json={"config": {"image": "j", "checks": CHECKS}}),
    "destroy": lambda _world, ask, path: ask("DELETE", path),
}


async def test_each_change_of_what_it_shows_is_shown(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1000", checks=CHECKS)
    path = f"/machines/{machine}"
    await world.context.clock.sleep(1)
    shown = (await ask("GET", path)).content
    for name, change in CHANGES.items():
        done = await change(world, ask, path)
        await world.context.clock.sleep(0.5)
        assert not isinstance(done, httpx.Response) or done.is_success, (name, done)
        before, reply = shown, await ask("GET", path)
        shown = reply.content
        assert shown != before, name
        assert reply.json() == fresh(world.engine, machine), name


async def test_each_way_to_ask_has_an_answer_of_its_own(world: World, ask: Ask) -> None:
    machine = await make(ask, "run", "1")
    await world.context.clock.sleep(1)
    await ask("POST", f"/machines/{machine}/lease", json={"ttl": 30})
    for _ in range(2):
        for query, options in (
            ("", {}),
            ("?summary=true", {"is_summary": True}),
            ("?include_leases=true", {"with_lease": True}),
            ("?summary=true&include_leases=true", {"is_summary": True, "with_lease": True}),
        ):
            expected = fresh(world.engine, machine, **options)
            assert (await ask("GET", f"/machines/{machine}{query}")).json() == expected
            assert (await ask("GET", f"/machines{query}")).json() == [expected]


async def test_what_is_kept_of_a_machine_is_bounded(world: World, ask: Ask) -> None:
    machine_id = await make(ask, "run", "1000", skip_launch=False)
    await world.context.clock.sleep(1)
    await begin_checks(world)
    for number in range(100):
        await a_result(world, str(number))
        await ask("GET", f"/machines/{machine_id}")
    machine = world.engine.store.machine(machine_id)
    assert machine
    assert len(world.engine.store.made_of(machine)) < 10
