"""The proxy of services: pass connections on, start machines, stop idle ones.

It does what Fly's proxy does, in the small: it spreads connections by `concurrency` and passes bytes on, without TLS.
It does not ask for leases (assumption A12).
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from reconciler.engine.engine import Engine
from reconciler.engine.models import Address, Machine
from reconciler.engine.services.declared import Candidate, Service, choose, services_of
from reconciler.engine.services.ports import HOST, listening_port

_BACKLOG: Final = 1024
_LONGEST_WAIT_S: Final = 60.0
_CHUNK: Final = 65536
_UNPRIVILEGED: Final = 8000  # 80 is tried at 8080 too, 443 at 8443
_UNAVAILABLE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 40\r\n\r\n"
    b"no machine of this service could serve.\n"
)
_log = logging.getLogger("reconciler.engine")


class Proxy:
    """The listeners of all apps' services, from `start` to `close`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle_s = engine.settings.latency.idle_s
        self._servers: dict[tuple[str, int], asyncio.Server] = {}
        self._loads: dict[str, int] = defaultdict(int)
        self._ready: dict[tuple[str, int, int], asyncio.Task[int | None]] = {}
        self._idle: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changes: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._dirty: set[str] = set()  # apps whose listeners have to be updated
        self._listening = asyncio.Lock()
        self._is_closing = False

    def start(self) -> None:
        self._engine.subscribe(self._changed)
        for machine in self._engine.store.machines():
            self._changed(machine)

    @property
    def addresses(self) -> list[Address]:
        """Return each declared port, and where it is served."""
        return [
            Address(app=app, port=port, address="{}:{}".format(*server.sockets[0].getsockname()[:2]))
            for (app, port), server in sorted(self._servers.items())
            if server.sockets
        ]

    async def close(self) -> None:
        self._is_closing = True
        for server in self._servers.values():
            server.close()
        tasks = [*self._tasks, *self._idle.values(), *self._ready.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _changed(self, machine: Machine) -> None:
        """Handle a change: wake waiting connections, update listeners and idle timer."""
        if self._is_closing:
            return
        self._changes.pop(machine.app, asyncio.Event()).set()
        if machine.is_destroyed:
            for key in [key for key in self._ready if key[0] == machine.id]:
                self._ready.pop(key).cancel()
        has_ports = any(service.ports for service in services_of(machine.config))
        if (has_ports or any(app == machine.app for app, _ in self._servers)) and machine.app not in self._dirty:
            self._dirty.add(machine.app)
            self._spawn(self._refresh(machine.app))
        if machine.state == "started" and not self._loads[machine.id]:
            self._stop_when_idle(machine.id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _refresh(self, app: str) -> None:
        """Listen on the ports that the app's machines declare, and on no others."""
        async with self._listening:  # one at a time: two could want the same port
            self._dirty.discard(app)
            await self._listen_as_declared(app)

    async def _listen_as_declared(self, app: str) -> None:
        wanted = {
            port
            for machine in self._engine.store.machines(app)
            if not machine.is_destroyed and app in self._engine.store.apps
            for service in services_of(machine.config)
            for port in service.ports
        }
        for key in [key for key in self._servers if key[0] == app and key[1] not in wanted]:
            self._servers.pop(key).close()
        for port in sorted(wanted):
            if (app, port) not in self._servers:
                await self._listen(app, port)

    async def _listen(self, app: str, port: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            try:
                await self._serve(app, port, reader, writer)
            except (OSError, asyncio.CancelledError):
                pass  # the caller is gone, or the engine closes
            finally:
                writer.close()

        for number in (port, port + _UNPRIVILEGED, 0):
            with suppress(OSError, OverflowError):
                server = await asyncio.start_server(serve, HOST, number, backlog=_BACKLOG)
                self._servers[app, port] = server
                return
        _log.warning("port %s of app %s cannot be served", port, app)

    # Connections

    async def _serve(self, app: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tried: set[str] = set()
        service: Service | None = None
        while assigned := await self._assign(app, port, tried):
            machine, service = assigned
            try:
                if await self._served_by(machine, service, reader, writer):
                    return
            finally:
                self._release(machine)
            tried.add(machine.id)
        if service and service.is_http:
            writer.write(_UNAVAILABLE)
            await writer.drain()

    async def _assign(self, app: str, port: int, tried: set[str]) -> tuple[Machine, Service] | None:
        """Return a machine for the connection, and count it as load.

        Wait while all are busy or starting. None where every machine was tried, or after a minute.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _LONGEST_WAIT_S
        while True:
            change = self._changes[app]
            parts = self._serving(app, port)
            if parts and parts.keys() <= tried:
                return None
            untried = {key: part for key, part in parts.items() if key not in tried}
            chosen = choose(self._candidate(*part) for part in untried.values())
            if chosen:
                machine, service = parts[chosen.machine_id]
                self._loads[machine.id] += 1
                self._ready_task(machine, service)
                return machine, service
            try:
                async with asyncio.timeout_at(deadline):
                    await change.wait()
            except TimeoutError:
                return None

    def _serving(self, app: str, port: int) -> dict[str, tuple[Machine, Service]]:
        """Return the machines that serve this port, with the service, by machine id."""
        return {
            machine.id: (machine, service)
            for machine in self._engine.store.machines(app)
            if not machine.is_destroyed and not machine.is_cordoned
            for service in services_of(machine.config)
            if port in service.ports
        }

    def _candidate(self, machine: Machine, service: Service) -> Candidate:
        waking = self._ready.get((machine.id, machine.runs + 1, service.internal_port))
        may_wake = service.autostart and not machine.config.get("disable_machine_autostart")
        return Candidate(
            machine_id=machine.id,
            is_awake=machine.state == "started" or (waking is not None and not waking.done()),
            can_wake=may_wake and machine.state in {"stopped", "suspended"} and machine.is_prepared,
            load=self._loads[machine.id],
            soft=service.soft,
            hard=service.hard,
        )

    def _ready_task(self, machine: Machine, service: Service) -> asyncio.Task[int | None]:
        """Return the task that starts the machine if need be and finds its port.

        All who wait for it share one.
        """
        is_resting = machine.state in {"stopped", "suspended"}
        key = (machine.id, machine.runs + is_resting, service.internal_port)
        found = self._ready.get(key)
        if found is None or (found.done() and (is_resting or found.cancelled() or found.result() is None)):
            for old in [old for old in self._ready if old[0] == machine.id and old[2] == key[2] and old != key]:
                del self._ready[old]
            found = self._ready[key] = asyncio.create_task(self._wake(machine, service))
        return found

    async def _wake(self, machine: Machine, service: Service) -> int | None:
        current = self._engine.store.machine(machine.id)
        if current and current.state in {"stopped", "suspended"}:
            await self._engine.start_unleased(current)
        try:
            async with asyncio.timeout(_LONGEST_WAIT_S):
                return await listening_port(self._engine, machine.id, service.internal_port)
        except TimeoutError:
            return None

    async def _served_by(
        self, machine: Machine, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Pass the connection on until its end; False where the machine does not accept."""
        current = self._engine.store.machine(machine.id) or machine
        port = await asyncio.shield(self._ready_task(current, service))
        if port is None:
            return False
        try:
            upstream = await asyncio.open_connection(HOST, port)
        except OSError:
            return False
        try:
            await _pipe((reader, writer), upstream)
        finally:
            upstream[1].close()
        return True

    def _release(self, machine: Machine) -> None:
        self._loads[machine.id] -= 1
        if not self._loads[machine.id]:
            del self._loads[machine.id]
            self._stop_when_idle(machine.id)
        self._changes.pop(machine.app, asyncio.Event()).set()

    # Idle machines

    def _stop_when_idle(self, machine_id: str) -> None:
        machine = self._engine.store.machine(machine_id)
        if machine is None or not any(service.autostop for service in services_of(machine.config)) or self._is_closing:
            return
        if old := self._idle.pop(machine_id, None):
            old.cancel()
        task = self._idle[machine_id] = asyncio.create_task(self._stop_if_idle(machine_id))
        task.add_done_callback(lambda done: self._idle.pop(machine_id) if self._idle.get(machine_id) is done else None)

    async def _stop_if_idle(self, machine_id: str) -> None:
        """Stop the machine, if it stays idle for long enough and enough others run."""
        await self._engine.clock.sleep(self._idle_s)
        machine = self._engine.store.machine(machine_id)
        if machine is None or machine.state != "started" or self._loads.get(machine_id):
            return
        stopping = [service for service in services_of(machine.config) if service.autostop]
        if not stopping or any(self._running_beside(machine, service) < service.min_running for service in stopping):
            return
        await self._engine.stop_unleased(machine, how=stopping[0].autostop)

    def _running_beside(self, machine: Machine, service: Service) -> int:
        """Return how many other machines of the service run."""
        return sum(
            other.state == "started"
            for other in self._engine.store.machines(machine.app)
            if other.id != machine.id
            and any(one.internal_port == service.internal_port for one in services_of(other.config))
        )


async def _pipe(
    caller: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    machine: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Pass bytes on in both directions, until the machine has sent all.

    A caller may close its side earlier.
    """
    to_machine = asyncio.create_task(_pass_on(caller[0], machine[1]))
    try:
        await _pass_on(machine[0], caller[1])
    finally:
        to_machine.cancel()
        await asyncio.gather(to_machine, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on all bytes, and then the end of the stream."""
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
