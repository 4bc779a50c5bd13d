"""One snapshot of the world: each app listed once, however many pools it has."""

import asyncio
from collections.abc import Sequence
from typing import Final

from reconciler.clock import Clock
from reconciler.machines_api.client import MachinesClient
from reconciler.model.machine import Observed, ObservedApp

_AT_ONCE: Final = 10


async def observe(client: MachinesClient, app_names: Sequence[str], *, clock: Clock) -> Observed:
    """The apps as they are now. An empty list is checked against the app's own count. Raises ApiError."""
    limit = asyncio.Semaphore(_AT_ONCE)
    at = clock.now()

    async def one(name: str) -> ObservedApp:
        async with limit:
            return await _observe_app(client, name)

    tasks = [asyncio.ensure_future(one(name)) for name in dict.fromkeys(app_names)]
    try:
        apps = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return Observed(apps={app.name: app for app in apps}, at=at)


async def _observe_app(client: MachinesClient, name: str) -> ObservedApp:
    machines = await client.list_machines(name)
    if machines:
        return ObservedApp(name=name, exists=True, machines=machines)
    info = await client.get_app(name)
    if info is None:
        return ObservedApp(name=name, exists=False)
    return ObservedApp(name=name, exists=True, reported_count=info.machine_count)
