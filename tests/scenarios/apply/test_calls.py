"""The calls that each action costs, at Fly's own latencies: the table of docs/explanation/performance.md."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from reconciler.engine.faults.settings import LATENCIES, Settings
from reconciler.model.revision import numbered
from reconciler.model.run_policy import Override
from reconciler.model.spec import Spec
from reconciler.testing.virtual_time import run_virtually
from tests.support.calls import spelled
from tests.support.world import World, open_world, spec_of

DOCS = Path(__file__).parents[3] / "docs" / "explanation" / "performance.md"


def task(command: str = "[exit, '0']", *, more: str = "", count: int = 1, extra: str = "") -> Spec:
    text = f"  tasks:\n      work: {{command: {command}, count: {count}{more}}}\n{extra}"
    return spec_of(f"version: 1\nname: stack\napps:\n  app:\n    image: r.example/a:1\n  {text}")


def service(*, env: str = "1") -> Spec:
    text = f"services: {{web: {{command: [run, '1000000000'], env: {{A: '{env}'}}}}}}"
    return spec_of(f"version: 1\nname: stack\napps:\n  app: {{image: r.example/a:1, {text}}}")


def public(addresses: str = "") -> Spec:
    declared = f"addresses: {addresses}, " if addresses else ""
    text = "services: {web: {command: [run, '1000000000'], ports: [8080], rollout: {min_healthy: 0s}}}"
    return spec_of(f"version: 1\nname: stack\napps:\n  app: {{{declared}image: r.example/a:1, {text}}}")


async def nothing(_world: World) -> None:
    """The world as it is."""


def applied(spec: Spec, **options: Any) -> Callable[[World], Awaitable[None]]:
    async def before(world: World) -> None:
        assert (await world.apply(spec, **options)).is_success
        await world.context.clock.sleep(120)

    return before


def apply(spec: Spec, **options: Any) -> Callable[[World], Awaitable[None]]:
    async def work(world: World) -> None:
        assert (await world.apply(spec, **options)).is_success

    return work


def destroy(spec: Spec, **options: Any) -> Callable[[World], Awaitable[None]]:
    async def work(world: World) -> None:
        assert (await world.destroy(spec, **options)).is_success

    return work


def plan(spec: Spec) -> Callable[[World], Awaitable[None]]:
    async def work(world: World) -> None:
        await world.plan(spec)

    return work


def invoke(spec: Spec, **options: Any) -> Callable[[World], Awaitable[None]]:
    async def work(world: World) -> None:
        assert (await world.invoke(spec, **options)).outcome.exit_code == 0

    return work


async def with_an_empty_app(world: World) -> None:
    await world.context.client.apps.create("app", org="personal")


async def with_a_stopped_service(world: World) -> None:
    await applied(service())(world)
    [machine] = world.machines()
    await world.engine.stop_machine("app", machine.id, {}, None)
    await world.context.clock.sleep(120)


async def with_a_run(world: World) -> None:
    await applied(LONG)(world)
    await world.invoke(LONG, is_waiting=False)
    await world.context.clock.sleep(10)


async def with_a_foreign_machine(world: World) -> None:
    await with_an_empty_app(world)
    world.engine.create("app", {"name": "work-iad-0", "skip_launch": True, "config": {"image": "x"}})
    await world.context.clock.sleep(120)


async def with_a_machine_as_declared(world: World) -> None:
    await with_an_empty_app(world)
    config = dict(task().pools[0].config.document)
    world.engine.create("app", {"name": "work-iad-0", "skip_launch": True, "config": config})
    await world.context.clock.sleep(120)


RUNS_5S = task("[run, '5']")
LONG = task("[run, '100000']")
OVERRIDABLE = task("[run, '5']", more=", args: [exit, '1'], overrides: {args: true}")
MOUNTED = [task(more=f", config: {{mounts: [{{volume: vol_{number}, path: /data}}]}}") for number in (1, 2)]


async def with_volumes(world: World) -> None:
    await with_an_empty_app(world)
    world.add_volumes("vol_1", "vol_2")
    await applied(MOUNTED[0])(world)


# The row of the table, what is there before, and what is counted.
ROWS: dict[str, tuple[Callable[[World], Awaitable[None]], Callable[[World], Awaitable[None]]]] = {
    "plan, an app with machines": (applied(task(count=5)), plan(task("[exit, '1']", count=5))),
    "plan, an app without machines": (with_an_empty_app, plan(task())),
    "plan, no such app": (nothing, plan(task())),
    "apply, nothing to change": (applied(task(count=5)), apply(task(count=5))),
    "apply, the first of a revision": (
        applied(task(count=5), revision=numbered(1)),
        apply(task(count=5), revision=numbered(2)),
    ),
    "create, in a new app": (nothing, apply(task())),
    "create, in a new app with public ports": (nothing, apply(public())),
    "allocate two IP addresses": (applied(public("[]")), apply(public("[v6, v4]"))),
    "create, the first of its pool": (with_an_empty_app, apply(task())),
    "create": (applied(task()), apply(task(count=2))),
    "create a service": (with_an_empty_app, apply(service())),
    "update": (applied(task()), apply(task("[exit, '1']"))),
    "update a service": (applied(service()), apply(service(env="2"))),
    "start a service": (with_a_stopped_service, apply(service())),
    "adopt": (with_a_machine_as_declared, apply(task(), adopt=True)),
    "adopt and change": (with_a_foreign_machine, apply(task(), adopt=True)),
    "destroy": (applied(task(count=2)), apply(task())),
    "destroy, with a revision": (
        applied(task(count=2), revision=numbered(1)),
        apply(task(), revision=numbered(2)),
    ),
    "update, and settings": (
        applied(task(more=", timeout: 10m")),
        apply(task("[exit, '1']", more=", timeout: 20m")),
    ),
    "destroy, the last of its pool": (applied(task()), destroy(task())),
    "destroy, and delete its app": (applied(task()), destroy(task(), with_apps=True)),
    "destroy, where nothing is": (nothing, destroy(task(), with_apps=True)),
    "replace": (with_volumes, apply(MOUNTED[1])),
    "defer, on the pool's anchor": (with_a_run, apply(task("[run, '100001']"))),
    "invoke": (applied(RUNS_5S), invoke(RUNS_5S)),
    "invoke with args of its own": (applied(OVERRIDABLE), invoke(OVERRIDABLE, override=Override(args=("exit", "0")))),
}


def documented() -> dict[str, tuple[int, str]]:
    """The table's rows: calls, and which."""
    section = DOCS.read_text().partition("## Calls")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \| (\d+) \| ([^|]+?) \|$", section, re.MULTILINE)
    return {name: (int(count), calls) for name, count, calls in rows}


def counted(name: str) -> list[str]:
    before, work = ROWS[name]

    async def scenario() -> list[str]:
        latency = replace(LATENCIES["fly"], list_lag_s=0.0)
        async with open_world(Settings(latency=latency)) as world:
            await before(world)
            world.transport.requests.clear()
            await work(world)
            return [spelled(request) for request in world.transport.requests]

    return run_virtually(scenario())


@pytest.mark.parametrize("name", ROWS)
def test_an_action_costs_the_calls_that_the_documentation_says(name: str) -> None:
    calls = counted(name)
    assert documented().get(name) == (len(calls), " ".join(calls))


def test_the_documentation_has_no_other_rows() -> None:
    assert documented().keys() == ROWS.keys()
