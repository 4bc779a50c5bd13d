"""Two processes on one world at once."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx

from reconciler.clock import Clock
from reconciler.machines_api.client import MachinesClient
from reconciler.model.report import Report, Status
from reconciler.model.secret import Secret
from reconciler.model.spec import Spec
from reconciler.slots.context import Context
from reconciler.testing.virtual_time import VirtualClock
from tests.support.world import TOKEN, World, app_text

Deed = Callable[[World], Awaitable[Report]]


class WrongClock(VirtualClock):
    """A wall clock that is wrong by so many hours."""

    def __init__(self, hours: int) -> None:
        super().__init__()
        self._by = timedelta(hours=hours)

    def now(self) -> datetime:
        return super().now() + self._by


def person(
    world: World, who: str, transport: httpx.AsyncBaseTransport | None = None, *, clock: Clock | None = None
) -> World:
    """The same world, seen by a process of its own."""
    clock = clock or world.context.clock
    client = MachinesClient(
        base_url="http://127.0.0.1",
        token=Secret(TOKEN),
        clock=clock,
        transport=transport or world.transport,
        rate_patience_s=60,
    )
    said: list[str] = []
    return replace(world, context=Context(client=client, clock=clock, who=who, emit=said.append), said=said)


def applying(spec: Spec, **options: Any) -> Deed:
    return lambda world: world.apply(spec, **options)


def destroying(spec: Spec, **options: Any) -> Deed:
    return lambda world: world.destroy(spec, **options)


NEW = app_text("""
    tasks:
      work: {command: [exit, '0'], count: 3}
    services:
      web: {command: [run, '100000000'], count: 2, rollout: {min_healthy: 1s}}
""")


def assert_well(*reports: Report | None) -> None:
    for report in reports:
        assert report
        assert report.is_success, (report.entries, report.mismatches, report.failures)
        assert {ended.status for ended in report.entries} <= {Status.DONE}
