"""Observe the apps of a spec: list the machines of each app once.

An app whose list is not whole is unobserved: nothing may be concluded from what was listed of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from reconciler.clock import Clock
from reconciler.errors import ApiError, UnobservedError
from reconciler.machines_api.calls import is_of_new_app
from reconciler.machines_api.client import MachinesClient
from reconciler.machines_api.compact import Compactor
from reconciler.machines_api.lists import BrokenListError
from reconciler.machines_api.more_events import with_more_events
from reconciler.machines_api.wire import AppInfo, Reduce
from reconciler.model.crashes import hides_its_start
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine, Observed, ObservedApp
from reconciler.model.spec import PoolKind

_AT_ONCE: Final = 10


async def observe(
    client: MachinesClient,
    app_names: Iterable[str],
    *,
    clock: Clock,
    with_addresses: Collection[str] = (),
    reduce: Mapping[str, Reduce] | None = None,
) -> Observed:
    """Return a snapshot of the apps.

    An empty list is checked against the app's own count. `with_addresses` are the apps whose IP addresses are asked
    for. `reduce` is as in `observe_each`. Raises ApiError.
    """
    at = clock.now()
    apps: dict[str, ObservedApp] = {}

    async def take(app: ObservedApp) -> None:
        apps[app.name] = app

    await observe_each(client, app_names, take, with_addresses=with_addresses, reduce=reduce)
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
                return await _observe_whole(client, name)
            except Exception as error:
                return error

    looked = dict(zip(names, await asyncio.gather(*(one(name) for name in names)), strict=True))
    looked |= {
        name: UnobservedError(found.broken, hint="try again in a moment")
        for name, found in looked.items()
        if isinstance(found, ObservedApp) and found.broken
    }
    failures = {name: found for name, found in looked.items() if isinstance(found, Exception)}
    if failures and len(failures) == len(names):
        raise next(iter(failures.values()))
    return Observed(apps={name: app for name, app in looked.items() if isinstance(app, ObservedApp)}, at=at), failures


async def observe_each(
    client: MachinesClient,
    app_names: Iterable[str],
    take: Callable[[ObservedApp], Awaitable[None]],
    *,
    with_addresses: Collection[str] = (),
    reduce: Mapping[str, Reduce] | None = None,
) -> None:
    """Pass each app to `take` as soon as it is read.

    At most ten apps are read at once, and memory holds no more than those. Of each machine it holds what the app's
    function in `reduce` leaves of it. Raises ApiError, and what `take` raises.
    """
    names = iter(dict.fromkeys(app_names))

    async def some() -> None:
        for name in names:
            app = await _observe_whole(client, name, (reduce or {}).get(name, _whole))
            if name in with_addresses and app.exists and not app.broken:
                app = replace(app, ip_addresses=await client.apps.addresses(name))
            await take(app)

    workers = [asyncio.ensure_future(some()) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()


async def observe_destroyed(client: MachinesClient, app_names: Iterable[str]) -> tuple[Machine, ...]:
    """Return the apps' machines that are gone: destroyed, in the last two days.

    Raises ApiError.
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    def is_gone(machine: Machine) -> bool:
        return machine.state.is_gone

    async def one(name: str) -> tuple[Machine, ...]:
        async with limit:
            return await client.list_machines(name, with_destroyed=True, keep=is_gone) or ()

    return tuple(machine for found in await asyncio.gather(*(one(name) for name in app_names)) for machine in found)


def _whole(machine: Machine) -> Machine:
    return machine


async def _observe_whole(client: MachinesClient, name: str, reduce: Reduce = _whole) -> ObservedApp:
    """Observe the app; read more events of services whose start is not in the list."""
    app = await _observe_app(client, name, reduce)

    def needs(machine: Machine) -> bool:
        return hides_its_start(machine.events) and machine.is_observable and kind_of(machine) is PoolKind.SERVICE

    machines = await with_more_events(client, app.machines, needs)
    return app if machines is app.machines else replace(app, machines=machines)


async def _observe_app(client: MachinesClient, name: str, reduce: Reduce) -> ObservedApp:
    """List the app. An empty list is checked against the app's machine count.

    If a list breaks off, the result is marked as broken.
    """
    try:
        is_listed, machines = await _list(client, name, reduce)
        if machines:
            return ObservedApp(name=name, exists=True, machines=machines)
        info = await _get_app(client, name, is_listed=is_listed)
        if info is None:
            return ObservedApp(name=name, exists=False)
        if info.machine_count:  # another apply may have created them after the list
            _is_listed, machines = await _list(client, name, reduce)
    except BrokenListError as error:
        return ObservedApp(name=name, exists=True, broken=error.message)
    if machines:
        return ObservedApp(name=name, exists=True, machines=machines)
    return ObservedApp(name=name, exists=True, reported_count=info.machine_count)


async def _get_app(client: MachinesClient, name: str, *, is_listed: bool) -> AppInfo | None:
    """Return the app; None if it does not exist.

    One that the list does not know, and that is refused otherwise here, is being created by another apply: its creation
    by us will find the name taken.
    """
    try:
        return await client.apps.get(name)
    except ApiError as error:
        if is_listed or not is_of_new_app(error):
            raise
        return None


async def _list(client: MachinesClient, app: str, reduce: Reduce) -> tuple[bool, tuple[Machine, ...]]:
    """Return whether the app exists, and its machines.

    If the list has several pages, what is equal in many machines is held in memory once.
    """
    machines: list[Machine] = []
    compactor = Compactor()
    pages = 0

    def read(machine: Machine) -> Machine:
        reduced = reduce(machine)
        return compactor.compact(reduced) if pages else reduced

    def take(page: tuple[Machine, ...]) -> None:
        nonlocal pages
        pages += 1
        if pages == 2:
            machines[:] = map(compactor.compact, machines)
        machines.extend(page)

    exists = await client.lists.each_page(app, take, reduce=read)
    return exists, tuple(machines)
