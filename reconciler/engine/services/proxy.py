"""The proxy of services: pass connections on, start machines, stop idle ones.

It does what Fly's proxy does, in the small: it spreads connections by `concurrency` and passes bytes on, without TLS.
It does not ask for leases (assumption A12).
"""

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct, field

from reconciler.engine.engine import Engine
from reconciler.engine.models import Address, Machine
from reconciler.engine.services.declared import Candidate, Service, choose, services_of
from reconciler.engine.services.listeners import Listeners
from reconciler.engine.services.ports import HOST, listening_port

_LONGEST_WAIT_S: Final = 60.0
_CHUNK: Final = 65536
_UNAVAILABLE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 40\r\n\r\n"
    b"no machine of this service could serve.\n"
)


class _Backend(Struct):
    """What the proxy knows of one machine; `load` is its number of connections.

    `ready` has the task that finds a port, by number of the start and internal port. `is_cordoned` follows the machine
    after a while (latency `cordon_s`).
    """

    is_cordoned: bool
    load: int = 0
    ready: dict[tuple[int, int], asyncio.Task[int | None]] = field(default_factory=dict)
    idle: asyncio.Task[None] | None = None
    noticing: asyncio.Task[None] | None = None

    @property
    def tasks(self) -> "list[asyncio.Task[Any]]":
        return [*self.ready.values(), *(task for task in (self.idle, self.noticing) if task)]


class Proxy:
    """The listeners of all apps' services, from `start` to `close`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._latency = engine.settings.latency
        self._backends: dict[str, _Backend] = {}  # by machine id
        self._changes: dict[str, asyncio.Event] = defaultdict(asyncio.Event)  # by app
        self._listeners = Listeners(engine, self._serve)
        self._is_closing = False

    def start(self) -> None:
        self._engine.subscribe(self._changed)
        for machine in self._engine.store.machines():
            self._changed(machine)

    @property
    def addresses(self) -> list[Address]:
        """Return each declared port, and where it is served."""
        return self._listeners.addresses

    async def close(self) -> None:
        self._is_closing = True
        await self._listeners.close()
        tasks = [task for backend in self._backends.values() for task in backend.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _changed(self, machine: Machine) -> None:
        """Handle a change: wake waiting connections, update listeners and idle timer."""
        if self._is_closing:
            return
        self._wake_waiting(machine.app)
        self._listeners.follow(machine)
        backend = self._backend(machine)
        if machine.is_destroyed:
            for task in backend.tasks:
                task.cancel()
            backend.ready.clear()
            self._forget_unused(machine.id)
            return
        if machine.is_cordoned != backend.is_cordoned:
            self._notice_cordon(machine, backend)
        if machine.state == "started" and not backend.load:
            self._stop_when_idle(machine.id)

    def _wake_waiting(self, app: str) -> None:
        """Wake the connections that wait for a change of the app."""
        self._changes.pop(app, asyncio.Event()).set()

    def _backend(self, machine: Machine) -> _Backend:
        return self._backends.setdefault(machine.id, _Backend(is_cordoned=machine.is_cordoned))

    def _forget_unused(self, machine_id: str) -> None:
        """Drop what is known of a destroyed machine once it has no connections."""
        machine, backend = self._engine.store.machine(machine_id), self._backends.get(machine_id)
        if (machine is None or machine.is_destroyed) and backend and not backend.load:
            del self._backends[machine_id]

    def _notice_cordon(self, machine: Machine, backend: _Backend) -> None:
        async def notice() -> None:
            await self._engine.clock.sleep(self._latency.cordon_s)
            backend.is_cordoned = (self._engine.store.machine(machine.id) or machine).is_cordoned
            self._wake_waiting(machine.app)

        if not self._latency.cordon_s:
            backend.is_cordoned = machine.is_cordoned
        elif backend.noticing is None or backend.noticing.done():
            backend.noticing = asyncio.create_task(notice())

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
            changed = self._changes[app]
            parts = self._serving(app, port)
            if parts and parts.keys() <= tried:
                return None
            untried = {key: part for key, part in parts.items() if key not in tried}
            chosen = choose(self._candidate(*part) for part in untried.values())
            if chosen:
                machine, service = parts[chosen.machine_id]
                self._backend(machine).load += 1
                self._ready_task(machine, service)
                return machine, service
            try:
                async with asyncio.timeout_at(deadline):
                    await changed.wait()
            except TimeoutError:
                return None

    def _serving(self, app: str, port: int) -> dict[str, tuple[Machine, Service]]:
        """Return the machines that serve this port, with the service, by machine id."""
        return {
            machine.id: (machine, service)
            for machine in self._engine.store.machines(app)
            if not machine.is_destroyed and not self._backend(machine).is_cordoned
            for service in services_of(machine.config)
            if port in service.ports
        }

    def _candidate(self, machine: Machine, service: Service) -> Candidate:
        backend = self._backend(machine)
        waking = backend.ready.get((machine.runs + 1, service.internal_port))
        may_wake = service.autostart and not machine.config.get("disable_machine_autostart")
        return Candidate(
            machine_id=machine.id,
            is_awake=machine.state == "started" or (waking is not None and not waking.done()),
            can_wake=may_wake and machine.state in {"stopped", "suspended"} and machine.is_prepared,
            load=backend.load,
            soft=service.soft,
            hard=service.hard,
        )

    def _ready_task(self, machine: Machine, service: Service) -> asyncio.Task[int | None]:
        """Return the task that starts the machine if need be and finds its port.

        All who wait for it share one.
        """
        is_resting, ready = machine.state in {"stopped", "suspended"}, self._backend(machine).ready
        key = (machine.runs + is_resting, service.internal_port)
        found = ready.get(key)
        if found is None or (found.done() and (is_resting or found.cancelled() or found.result() is None)):
            for old in [old for old in ready if old[1] == key[1] and old != key]:
                del ready[old]
            found = ready[key] = asyncio.create_task(self._wake(machine, service))
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
        backend = self._backend(machine)
        backend.load -= 1
        if not backend.load:
            self._stop_when_idle(machine.id)
        self._forget_unused(machine.id)
        self._wake_waiting(machine.app)

    # Idle machines

    def _stop_when_idle(self, machine_id: str) -> None:
        machine = self._engine.store.machine(machine_id)
        if machine is None or not any(service.autostop for service in services_of(machine.config)) or self._is_closing:
            return
        backend = self._backend(machine)
        if backend.idle:
            backend.idle.cancel()
        backend.idle = asyncio.create_task(self._stop_if_idle(machine_id))

    async def _stop_if_idle(self, machine_id: str) -> None:
        """Stop the machine, if it stays idle for long enough and enough others run."""
        await self._engine.clock.sleep(self._latency.idle_s)
        machine = self._engine.store.machine(machine_id)
        if machine is None or machine.state != "started" or self._backend(machine).load:
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
