"""Listen on the ports that an app's services declare, and on no others."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeAlias

from msgspec import Struct, field

from reconciler.engine.engine import Engine
from reconciler.engine.models import Address, Machine
from reconciler.engine.services.declared import services_of
from reconciler.engine.services.ports import HOST

Serve: TypeAlias = Callable[[str, int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one connection to a port of an app, until its end."""
_BACKLOG: Final = 1024
_UNPRIVILEGED: Final = 8000  # 80 is tried at 8080 too, 443 at 8443
_log = logging.getLogger("reconciler.engine")


class _App(Struct):
    """The listeners of one app, by port; `is_dirty` while they have to be updated."""

    servers: dict[int, asyncio.Server] = field(default_factory=dict)
    is_dirty: bool = False


class Listeners:
    """The listeners of all apps."""

    def __init__(self, engine: Engine, serve: Serve) -> None:
        self._engine = engine
        self._serve = serve
        self._apps: dict[str, _App] = defaultdict(_App)
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = asyncio.Lock()

    @property
    def addresses(self) -> list[Address]:
        """Return each declared port, and where it is served."""
        return [
            Address(app=name, port=port, address="{}:{}".format(*app.servers[port].sockets[0].getsockname()[:2]))
            for name, app in sorted(self._apps.items(), key=lambda pair: pair[0])
            for port in sorted(app.servers)
            if app.servers[port].sockets
        ]

    def follow(self, machine: Machine) -> None:
        """Listen as the changed machine and the others of its app declare."""
        app = self._apps[machine.app]
        has_ports = any(service.ports for service in services_of(machine.config))
        if (has_ports or app.servers) and not app.is_dirty:
            app.is_dirty = True
            self._spawn(self._refresh(machine.app))

    async def close(self) -> None:
        """Stop listening, and end all connections."""
        for app in self._apps.values():
            for server in app.servers.values():
                server.close()
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._keep(asyncio.create_task(work))

    def _keep(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _refresh(self, app: str) -> None:
        async with self._listening:  # one at a time: two could want the same port
            self._apps[app].is_dirty = False
            await self._listen_as_declared(app)

    async def _listen_as_declared(self, app: str) -> None:
        wanted = {
            port
            for machine in self._engine.store.machines(app)
            if not machine.is_destroyed and app in self._engine.store.apps
            for service in services_of(machine.config)
            for port in service.ports
        }
        servers = self._apps[app].servers
        for port in [port for port in servers if port not in wanted]:
            servers.pop(port).close()
        for port in sorted(wanted):
            if port not in servers:
                await self._listen(app, port)

    async def _listen(self, app: str, port: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._keep(task)
            try:
                await self._serve(app, port, reader, writer)
            except (OSError, asyncio.CancelledError):
                pass  # the caller is gone, or the engine closes
            finally:
                writer.close()

        for number in (port, port + _UNPRIVILEGED, 0):
            with suppress(OSError, OverflowError):
                server = await asyncio.start_server(serve, HOST, number, backlog=_BACKLOG)
                self._apps[app].servers[port] = server
                return
        _log.warning("port %s of app %s cannot be served", port, app)
