"""Observe the apps of a spec: list the machines of each app once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from reconciler.clock import Clock
from reconciler.machines_api.client import MachinesClient
from reconciler.model.machine import Machine, Observed, ObservedApp

_AT_ONCE: Final = 10


async def observe(client: MachinesClient, app_names: Iterable[str], *, clock: Clock) -> Observed:
    """Return a snapshot of the apps.

    An empty list is checked against the app's own count. Raises ApiError.
    """
    at = clock.now()
    apps: dict[str, ObservedApp] = {}

    async def take(app: ObservedApp) -> None:
        apps[app.name] = app

    await observe_each(client, app_names, take)
    return Observed(apps=apps, at=at)


async def observe_readable(
    client: MachinesClient, app_names: Iterable[str], *, clock: Clock
) -> tuple[Observed, dict[str, Exception]]:
    """Return a snapshot of the apps that can be read, and the other apps' errors.

    Raises the first error if no app can be read.
    """
    at, names = clock.now(), [*dict.fromkeys(app_names)]
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> ObservedApp | Exception:
        async with limit:
            try:
                return await _observe_app(client, name)
            except Exception as error:
                return error

    looked = dict(zip(names, await asyncio.gather(*(one(name) for name in names)), strict=True))
    failures = {name: found for name, found in looked.items() if isinstance(found, Exception)}
    if failures and len(failures) == len(names):
        raise next(iter(failures.values()))
    return Observed(apps={name: app for name, app in looked.items() if isinstance(app, ObservedApp)}, at=at), failures


async def observe_each(
    client: MachinesClient, app_names: Iterable[str], take: Callable[[ObservedApp], Awaitable[None]]
) -> None:
    """Pass each app to `take` as soon as it is read.

    At most ten apps are read at once, and memory holds no more than those. Raises ApiError, and what `take` raises.
    """
    names = iter(dict.fromkeys(app_names))

    async def some() -> None:
        for name in names:
            await take(await _observe_app(client, name))

    workers = [asyncio.ensure_future(some()) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()


async def observe_destroyed(client: MachinesClient, app_names: Iterable[str]) -> tuple[Machine, ...]:
    """Return the apps' machines, and those destroyed in the last two days.

    Raises ApiError.
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> tuple[Machine, ...]:
        async with limit:
            return await client.list_machines(name, with_destroyed=True) or ()

    return tuple(machine for found in await asyncio.gather(*(one(name) for name in app_names)) for machine in found)


async def _observe_app(client: MachinesClient, name: str) -> ObservedApp:
    machines = await client.list_machines(name)
    if machines:
        return ObservedApp(name=name, exists=True, machines=machines)
    info = await client.apps.get(name)
    if info is None:
        return ObservedApp(name=name, exists=False)
    if info.machine_count:  # another apply may have created them after the list
        machines = await client.list_machines(name)
    if machines:
        return ObservedApp(name=name, exists=True, machines=machines)
    return ObservedApp(name=name, exists=True, reported_count=info.machine_count)
