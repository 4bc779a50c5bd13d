"""Services that stay up or crash, and what an apply of them says."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from reconciler.engine.faults.settings import Settings
from reconciler.model.report import Entry, Report
from reconciler.model.spec import Spec
from reconciler.testing.virtual_time import run_virtually
from tests.support.world import World, open_world, spec_of

T = TypeVar("T")
HEALTHY = "[run, '1000000000']"
CRASHING = "[say, listening, err, 'no database', exit, '3']"


def service(command: str = HEALTHY, *, count: str = "1", more: str = "", rollout: str = "") -> Spec:
    """One service `web`; `more` is another service, or further members of the app."""
    said = f", rollout: {rollout}" if rollout else ""
    web = f"web: {{command: {command}, count: {count}{said}}}"
    return spec_of(f"version: 1\nname: stack\napps:\n  app: {{image: r.example/a:1, services: {{{web}}}{more}}}\n")


def played(scenario: Callable[[World], Awaitable[T]], *, settings: Settings | None = None, paced: bool = False) -> T:
    async def play() -> T:
        async with open_world(settings, paced=paced) as world:
            return await scenario(world)

    return run_virtually(play())


async def timed(world: World, spec: Spec, **options: Any) -> tuple[Report, float]:
    began = world.context.clock.monotonic()
    report = await world.apply(spec, **options)
    return report, world.context.clock.monotonic() - began


def by_slot(report: Report) -> dict[str, Entry]:
    return {ended.slot.name: ended for ended in report.entries}


def commands_of(world: World) -> list[str]:
    return [machine.config["init"]["cmd"][0] for machine in world.machines()]


RESTS = "{}, ports: [{{internal_port: 8080, port: 80, autostop: stop}}]"
