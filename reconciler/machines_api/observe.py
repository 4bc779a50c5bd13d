"""Observe the apps of a spec: list the machines of each app once.

An app whose list is not whole is unobserved: nothing may be concluded from what was listed of it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final

from reconciler.clock import Clock
from reconciler.errors import ApiError, UnobservedError
from reconciler.machines_api.calls import is_of_new_app
from reconciler.machines_api.client import MachinesClient
from reconciler.machines_api.lists import BrokenListError
from reconciler.machines_api.more_events import with_more_events
from reconciler.machines_api.wire import AppInfo
from reconciler.model.config import MachineConfig
from reconciler.model.crashes import hides_its_start
from reconciler.model.kind import kind_of
from reconciler.model.machine import Machine, Observed, ObservedApp
from reconciler.model.spec import PoolKind

_AT_ONCE: Final = 10


async def observe(
    client: MachinesClient, app_names: Iterable[str], *, clock: Clock, with_addresses: Collection[str] = ()
) -> Observed:
    """Return a snapshot of the apps.

    An empty list is checked against the app's own count. `with_addresses` are the apps whose IP addresses are asked
    for. Raises ApiError.
    """
    at = clock.now()
    apps: dict[str, ObservedApp] = {}

    async def take(app: ObservedApp) -> None:
        apps[app.name] = app

    await observe_each(client, app_names, take, with_addresses=with_addresses)
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
        name: UnobservedError(found.broken)
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
) -> None:
    """Pass each app to `take` as soon as it is read.

    At most ten apps are read at once, and memory holds no more than those. Raises ApiError, and what `take` raises.
    """
    names = iter(dict.fromkeys(app_names))

    async def some() -> None:
        for name in names:
            app = await _observe_whole(client, name)
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
    """Return the apps' machines, and those destroyed in the last two days.

    Raises ApiError.
    """
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> tuple[Machine, ...]:
        async with limit:
            return await client.list_machines(name, with_destroyed=True) or ()

    return tuple(machine for found in await asyncio.gather(*(one(name) for name in app_names)) for machine in found)


async def _observe_whole(client: MachinesClient, name: str) -> ObservedApp:
    """Observe the app; read more events of services whose start is not in the list."""
    app = await _observe_app(client, name)

    def needs(machine: Machine) -> bool:
        return machine.is_observable and kind_of(machine) is PoolKind.SERVICE and hides_its_start(machine.events)

    machines = await with_more_events(client, app.machines, needs)
    return app if machines is app.machines else replace(app, machines=machines)


async def _observe_app(client: MachinesClient, name: str) -> ObservedApp:
    """List the app. An empty list is checked against the app's machine count.

    If a list breaks off, the result is marked as broken.
    """
    try:
        is_listed, machines = await _list(client, name)
        if machines:
            return ObservedApp(name=name, exists=True, machines=machines)
        info = await _get_app(client, name, is_listed=is_listed)
        if info is None:
            return ObservedApp(name=name, exists=False)
        if info.machine_count:  # another apply may have created them after the list
            _is_listed, machines = await _list(client, name)
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


async def _list(client: MachinesClient, app: str) -> tuple[bool, tuple[Machine, ...]]:
    """Return whether the app exists, and its machines.

    If the list has several pages, what is equal in many machines is held in memory once.
    """
    machines: list[Machine] = []
    shared = _Shared()

    def take(page: tuple[Machine, ...]) -> None:
        if machines and not shared.is_used:
            machines[:] = map(shared.lean, machines)
        machines.extend(map(shared.lean, page) if machines else page)

    exists = await client.lists.each_page(app, take)
    return exists, tuple(machines)


class _Shared:
    """Equal sections and texts of many machines, each held once."""

    def __init__(self) -> None:
        self.is_used: bool = False
        self._sections: dict[bytes, Any] = {}  # by digest, as the text of each would take as much again
        self._texts: dict[str, str] = {}

    def lean(self, machine: Machine) -> Machine:
        """Return the machine as it is, with what it shares with earlier ones."""
        self.is_used = True
        events = tuple(
            replace(
                event, type=self._text(event.type), status=self._text(event.status), source=self._text(event.source)
            )
            for event in machine.events
        )
        config = machine.config
        if config is not None:
            document = {name: self._section(name, value) for name, value in config.document.items()}
            config = MachineConfig(document=document)
        digest = machine.image_digest and self._text(machine.image_digest)
        region = self._text(machine.region)
        return replace(machine, config=config, events=events, image_digest=digest, region=region)

    def _section(self, name: str, value: Any) -> Any:
        if name == "metadata" and isinstance(value, dict):
            return {self._text(key): self._text(text) for key, text in value.items()}
        if isinstance(value, str):
            return self._text(value)
        text = json.dumps([name, value], default=str)
        return self._sections.setdefault(blake2b(text.encode(), digest_size=16).digest(), value)

    def _text(self, text: str) -> str:
        return self._texts.setdefault(text, text)
