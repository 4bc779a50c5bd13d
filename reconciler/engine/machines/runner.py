"""Runs of machines: starts them, takes their output, and turns their ends into events and states.

Decides restarts and what an end means for the machine; which call is allowed when is lifecycle's.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import replace
from secrets import token_hex
from signal import SIGKILL
from typing import Any, Final

from reconciler.clock import Clock, now_ms
from reconciler.engine.config.read import stop_rule
from reconciler.engine.faults.rules import FaultRules
from reconciler.engine.faults.settings import Settings
from reconciler.engine.machines.exit_events import exit_request, restarts
from reconciler.engine.machines.recorder import Recorder
from reconciler.engine.models import Event, Machine, new_ulid
from reconciler.engine.runtime.base import Ended, ImageError, Running, Runtime
from reconciler.engine.runtime.launch import launch_of
from reconciler.engine.runtime.logs import Logs
from reconciler.engine.runtime.port_clashes import tell_clash
from reconciler.engine.secrets import Secrets
from reconciler.engine.services.ports import mapped_ports
from reconciler.engine.store.store import Store
from reconciler.engine.volumes import Volumes

_LONGEST_DELAY_S: Final = 30.0
_DOUBLINGS: Final = 16  # far beyond the longest delay, and a number that a float can hold
_DISK_RETRY_S: Final = 0.5
_SHUTDOWN_S: Final = 5.0


class Runner:
    """Everything that runs. `changed` is told of each machine whose record changed; `save`, `record`: see Recorder."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        clock: Clock,
        changed: Callable[[str], None],
        *,
        settings: Settings,
        faults: FaultRules,
        secrets: Secrets,
        volumes: Volumes,
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._clock = clock
        self._latency = settings.latency
        self._behaviour = settings.behaviour
        self._faults = faults
        self._secrets = secrets
        self._volumes = volumes
        self._running: dict[str, Running] = {}
        self._starting: dict[str, asyncio.Event] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[str] = set()  # machines whose end was asked for
        self._suspended: set[str] = set()  # machines whose commands stand still
        self._starved: set[str] = set()  # machines whose run ends for lack of memory, on purpose
        self._active_until: dict[str, float] = {}  # monotonic; a start before it is refused
        self._retries: dict[str, int] = {}
        self._ports: dict[str, dict[int, int]] = {}  # by machine: the host's ports by the internal ones
        self._logs = Logs(store, clock, changed)
        self._recorder = Recorder(store, clock, changed)
        self.save, self.record = self._recorder.save, self._recorder.record
        self._background: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._clearing: set[asyncio.Task[None]] = set()

    def now_ms(self) -> int:
        return now_ms(self._clock)

    def event(self, kind: str, status: str, source: str, request: dict[str, Any] | None = None) -> Event:
        """A new event of this moment."""
        now_ms = self.now_ms()
        identifier = new_ulid(now_ms) if self._behaviour.orders_event_ids else token_hex(10)
        return Event(id=identifier, type=kind, status=status, source=source, timestamp_ms=now_ms, request=request)

    def is_still_active(self, machine_id: str) -> bool:
        """Whether the machine's last run reads as ended and is not reaped yet."""
        return self._clock.monotonic() < self._active_until.get(machine_id, 0.0)

    def has_fault(self, fault: str, machine: Machine) -> bool:
        """Whether the fault strikes the machine now."""
        image = str(machine.config.get("image") or "")
        return bool(self._faults.find((fault,), app=machine.app, machine=machine.name, image=image))

    async def prepare(self, machine: Machine) -> None:
        """Makes the machine's image ready. One that cannot be had is told by the machine's log, and by its start."""
        try:
            await self._runtime.prepare(str(machine.config.get("image") or ""))
        except ImageError as error:
            self._logs.taker(machine)("", str(error))

    async def start(self, machine: Machine) -> None:
        """Starts the machine's commands, or lets them go on, with all the retries that its restart policy gives."""
        self._retries.pop(machine.id, None)
        await self._begin(machine)

    async def _begin(self, machine: Machine) -> None:
        """The event comes first: whatever runs is on record. Raises sqlite3.Error: then nothing was started."""
        if machine.id in self._suspended:
            await self._resume(machine)
            return
        ready = await self._with_image(machine)
        if ready is None or self._is_closing:
            return
        self._logs.write_or_raise()  # where lines are missing, and that cannot be written, more would be lost
        machine = replace(ready, state="started", runs=ready.runs + 1, should_run=True, pids=())
        machine = self.save(machine, event=self.event("start", "started", "flyd"))
        self._starting[machine.id] = asyncio.Event()
        try:
            self._ports[machine.id] = mapped_ports(machine.config) if self._runtime.port_style else {}
            launch = launch_of(machine, self._secrets, self._volumes, self._ports[machine.id], self._runtime.port_style)
            running = await self._runtime.start(launch, self._logs.taker(machine))
            self._running[machine.id] = running
            if self.has_fault("out_of_memory", machine):
                self._starved.add(machine.id)
                await running.kill()
            self._watchers[machine.id] = asyncio.create_task(self._watch(machine.id, running))
        finally:
            self._starting.pop(machine.id).set()
        self.record(replace(self._store.machine(machine.id) or machine, pids=running.pids))

    async def suspend(self, machine: Machine) -> None:
        """Lets the machine's commands stand still where they are."""
        running = await self.running(machine.id)
        if running is None:
            return
        self._suspended.add(machine.id)
        await running.suspend()
        current = self._store.machine(machine.id) or machine
        event = self.event("suspend", "suspended", "flyd")
        self.record(replace(current, state="suspended", should_run=False), event=event)

    async def _resume(self, machine: Machine) -> None:
        self._suspended.discard(machine.id)
        self.save(replace(machine, state="started", should_run=True), event=self.event("start", "started", "flyd"))
        await self._running[machine.id].resume()

    def is_suspended(self, machine_id: str) -> bool:
        """Whether the machine's commands stand still; a suspended machine without any starts anew."""
        return machine_id in self._suspended

    def ports_of(self, machine_id: str) -> dict[int, int]:
        """The host's ports by the internal ones of the machine's last start."""
        return self._ports.get(machine_id, {})

    async def running(self, machine_id: str) -> Running | None:
        """What runs on the machine, once its start is through."""
        if machine_id in self._starting:
            await self._starting[machine_id].wait()
        return self._running.get(machine_id)

    async def _with_image(self, machine: Machine) -> Machine | None:
        """The machine, with its image ready; None where that cannot be had, or was stopped meanwhile."""
        image = str(machine.config.get("image") or "")
        why: str | None = None
        if self._runtime.uses_image:
            machine = self.save(replace(machine, state="starting", should_run=True))
            try:
                await self._runtime.prepare(image)
            except ImageError as error:
                why = str(error)
            current = self._store.machine(machine.id)
            if current is None or current.state != "starting" or current.instance_id != machine.instance_id:
                return None
            machine = current
        if self.has_fault("unpullable", machine):
            why = f"unable to pull image {image}"
        if why is None:
            return machine
        self._logs.taker(machine)("", why)
        self.record(replace(machine, state="failed", should_run=False))
        return None

    async def stop(self, machine_id: str, number: int, timeout_s: float) -> None:
        """Asks the machine's commands to end, kills them after the timeout, and returns once their end is on record."""
        if machine_id in self._starting:
            await self._starting[machine_id].wait()
        running, watcher = self._running.get(machine_id), self._watchers.get(machine_id)
        if running is None or watcher is None:
            return
        if machine_id in self._suspended:
            number, timeout_s = SIGKILL, 0  # what stands still hears nothing else
        self._stopping.add(machine_id)
        await running.signal(number)
        timer = asyncio.ensure_future(self._clock.sleep(timeout_s))
        await asyncio.wait({watcher, timer}, return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        await running.kill()
        await asyncio.wait({watcher})

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Lets the work go on by itself; it is ended with the engine."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Ends everything that runs, by its own stop signal, and puts that on record."""
        self._is_closing = True
        # A start is let through: one that was broken off would leave processes that nobody knows.
        await asyncio.gather(*(start.wait() for start in self._starting.values()))
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.gather(*(self._end(machine_id) for machine_id in list(self._running)))
        await asyncio.gather(*self._clearing, return_exceptions=True)
        self._logs.close()
        self._recorder.close()

    async def _end(self, machine_id: str) -> None:
        machine = self._store.machine(machine_id)
        number, timeout_s = stop_rule(machine.config if machine else {}, {}, _SHUTDOWN_S)
        await self.stop(machine_id, number, min(timeout_s, _SHUTDOWN_S))

    async def _watch(self, machine_id: str, running: Running) -> None:
        ended = await running.wait()
        if machine_id in self._starved:
            self._starved.discard(machine_id)
            ended = Ended(code=137, signal=9, oom_killed=True)
        self._logs.write()
        if self._runtime.port_style == "host" and machine_id not in self._stopping:
            await tell_clash(self._store, self._logs, machine_id, ended)
        await self._clock.sleep(self._latency.exit_s)
        self._running.pop(machine_id, None)
        self._watchers.pop(machine_id, None)
        self._suspended.discard(machine_id)
        was_asked = machine_id in self._stopping
        self._stopping.discard(machine_id)
        await self._settle(machine_id, ended, was_asked=was_asked)
        clearing = asyncio.create_task(running.discard())
        self._clearing.add(clearing)
        clearing.add_done_callback(self._clearing.discard)

    async def _settle(self, machine_id: str, ended: Ended, *, was_asked: bool) -> None:
        """Puts the end on record, and starts the machine again where its restart policy says so."""
        machine = self._store.machine(machine_id)
        if machine is None or machine.is_destroyed:
            return
        if machine.state == "suspended" and was_asked:
            self.record(replace(machine, pids=()))  # the engine ends: the next start is a cold one
            return
        if machine.state in {"destroying", "replacing", "restarting"}:
            exited = exit_request(ended, self.now_ms(), was_asked=machine.state == "restarting")
            self.record(replace(machine, pids=()), event=self.event("exit", "stopped", "flyd", exited))
            return
        retries = self._retries.get(machine_id, 0)
        is_restarting = not was_asked and restarts(machine.config, ended, retries)
        exited = exit_request(ended, self.now_ms(), was_asked=was_asked, is_restarting=is_restarting, count=retries)
        state = "started" if is_restarting else "stopped"
        settled = replace(machine, state=state, pids=(), should_run=is_restarting or (was_asked and machine.should_run))
        self._active_until[machine_id] = self._clock.monotonic() + self._latency.reap_s
        if self._behaviour.exit_event_lag_s:
            self.record(settled)
            await self._clock.sleep(self._behaviour.exit_event_lag_s)
            settled = self._store.machine(machine_id) or settled
        settled = self.record(settled, event=self.event("exit", "stopped", "flyd", exited))
        if is_restarting:
            self._retries[machine_id] = retries + 1
            self.in_background(self._restart(settled, retries))
            return
        self._retries.pop(machine_id, None)
        if machine.config.get("auto_destroy"):
            self.destroyed(settled)

    async def _restart(self, ended: Machine, retries: int) -> None:
        """Starts the machine again after a while, unless someone else has started or stopped it by then."""
        await self._clock.sleep(min(_LONGEST_DELAY_S, self._latency.restart_delay_s * 2 ** min(retries, _DOUBLINGS)))
        machine = self._store.machine(ended.id)
        if machine and machine.state == "started" and machine.runs == ended.runs:
            await self._begin_patiently(machine)

    async def start_patiently(self, machine: Machine) -> None:
        """Starts what nobody waits for: once the disk takes it, unless the machine was changed by then."""
        self._retries.pop(machine.id, None)
        await self._begin_patiently(machine)

    async def _begin_patiently(self, machine: Machine) -> None:
        now: Machine | None = machine
        while now and now.runs == machine.runs and now.state in {machine.state, "starting"}:
            try:
                await self._begin(now)
                return
            except sqlite3.Error:
                await self._clock.sleep(_DISK_RETRY_S)
            now = self._store.machine(machine.id)

    def destroyed(self, machine: Machine) -> None:
        """The machine's last event; its name is free again, its record stays readable."""
        gone = replace(machine, state="destroyed", lease=None, pids=(), should_run=False)
        self.record(gone, event=self.event("destroy", "destroyed", "flyd"))
        self._runtime.forget(machine.id)
        self._ports.pop(machine.id, None)
