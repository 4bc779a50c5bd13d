"""Start, stop and suspend the commands of machines, and record their ends.

Which call is accepted is decided in `call_rules.py` and `leases.py`, what an end means in `exit_events.py`.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from signal import SIGKILL
from typing import Any, Final

from msgspec.structs import replace

from reconciler.clock import Clock, now_ms
from reconciler.engine.config.read import stop_rule
from reconciler.engine.faults.rules import FaultRules
from reconciler.engine.faults.settings import Settings
from reconciler.engine.machines.exit_events import settle
from reconciler.engine.machines.recorder import Recorder
from reconciler.engine.machines.run_state import RunState
from reconciler.engine.models import Machine
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
_OUT_OF_MEMORY: Final = Ended(code=137, signal=9, oom_killed=True)


class Runner:
    """Run the commands of all machines. `recorder` writes what happens.

    `changed` is called with the id of each machine whose record or log has changed.
    """

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
        self._logs = Logs(store, clock, changed)
        self.recorder: Recorder = Recorder(store, clock, changed, orders_event_ids=settings.behaviour.orders_event_ids)
        self._runs: dict[str, RunState] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._discards: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def has_fault(self, fault: str, machine: Machine) -> bool:
        """Return whether a fault rule strikes the machine now; counts as one strike."""
        image = str(machine.config.get("image") or "")
        return bool(self._faults.find((fault,), app=machine.app, machine=machine.name, image=image))

    # What is known of a run

    def is_still_active(self, machine_id: str) -> bool:
        """Return whether the machine reads `stopped` and its last run is not reaped yet."""
        return self._clock.monotonic() < self._run(machine_id).active_until_s

    def is_suspended(self, machine_id: str) -> bool:
        """Return whether the machine has commands that are suspended."""
        return self._run(machine_id).is_suspended

    def ports_of(self, machine_id: str) -> dict[int, int]:
        """Return the ports of this host by internal port, of the machine's last start."""
        return self._run(machine_id).ports

    async def running(self, machine_id: str) -> Running | None:
        """Return what runs on the machine, after any start that is under way."""
        return await self._run(machine_id).after_start()

    def _run(self, machine_id: str) -> RunState:
        return self._runs.get(machine_id) or RunState()

    # Start

    async def prepare(self, machine: Machine) -> None:
        """Make the image ready; a failure goes into the machine's log."""
        try:
            await self._runtime.prepare(str(machine.config.get("image") or ""))
        except ImageError as error:
            self._logs.taker(machine)("", str(error))

    async def start(self, machine: Machine) -> None:
        """Start or resume the machine's commands, with a fresh count of restarts.

        Raises sqlite3.Error where the start cannot be recorded: then nothing was started.
        """
        self._runs.setdefault(machine.id, RunState()).retries = 0
        await self._begin(machine)

    async def start_eventually(self, machine: Machine) -> None:
        """Start without a caller: retry while the disk is full, until it is changed."""
        self._runs.setdefault(machine.id, RunState()).retries = 0
        await self._begin_eventually(machine)

    async def _begin_eventually(self, machine: Machine) -> None:
        now: Machine | None = machine
        while now and now.runs == machine.runs and now.state in {machine.state, "starting"}:
            try:
                await self._begin(now)
                return
            except sqlite3.Error:
                await self._clock.sleep(_DISK_RETRY_S)
            now = self._store.machine(machine.id)

    async def _begin(self, machine: Machine) -> None:
        """Record the start, then start: all that runs is on record. Raises sqlite3.Error."""
        run = self._runs.setdefault(machine.id, RunState())
        if await run.after_stop():
            state, machine = machine.state, self._store.machine(machine.id) or machine
            if machine.state != state:
                return
        if run.is_suspended and run.running:
            run.is_suspended = False
            resumed = replace(machine, state="started", should_run=True)
            self.recorder.save(resumed, event=self.recorder.new_event("start", "started", "flyd"))
            await run.running.resume()
            return
        ready = await self._with_image(machine)
        if ready is None or self._is_closing:
            return
        self._logs.write_or_raise()  # while log lines cannot be written, a start would only lose more of them
        machine = replace(ready, state="started", runs=ready.runs + 1, should_run=True, pids=())
        machine = self.recorder.save(machine, event=self.recorder.new_event("start", "started", "flyd"))
        done = run.start_done = asyncio.Event()
        try:
            run.ports = mapped_ports(machine.config) if self._runtime.port_style else {}
            launch = launch_of(machine, self._secrets, self._volumes, run.ports, self._runtime.port_style)
            running = run.running = await self._runtime.start(launch, self._logs.taker(machine))
            if self.has_fault("out_of_memory", machine):
                run.is_out_of_memory = True
                await running.kill()
            run.watcher = asyncio.create_task(self._watch(machine.id, run, running))
        finally:
            run.start_done = None
            done.set()
        self.recorder.record(replace(self._store.machine(machine.id) or machine, pids=running.pids))

    async def _with_image(self, machine: Machine) -> Machine | None:
        """Return the machine with its image ready; None where it cannot start now."""
        image = str(machine.config.get("image") or "")
        why: str | None = None
        if self._runtime.uses_image:
            machine = self.recorder.save(replace(machine, state="starting", should_run=True))
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
        self.recorder.record(replace(machine, state="failed", should_run=False))
        return None

    # Stop

    async def suspend(self, machine: Machine) -> None:
        """Suspend the machine's commands; nothing where none run."""
        running = await self.running(machine.id)
        if running is None:
            return
        self._runs[machine.id].is_suspended = True
        await running.suspend()
        current = self._store.machine(machine.id) or machine
        event = self.recorder.new_event("suspend", "suspended", "flyd")
        self.recorder.record(replace(current, state="suspended", should_run=False), event=event)

    async def stop(self, machine_id: str, number: int, timeout_s: float) -> None:
        """Send the signal, kill after the timeout, and return once the end is on record."""
        run = self._run(machine_id)
        running, watcher = await run.after_start(), run.watcher
        if running is None or watcher is None:
            return
        number, timeout_s = (SIGKILL, 0) if run.is_suspended else (number, timeout_s)  # suspended: no other is got
        run.is_stopping = True
        await running.signal(number)
        timer = asyncio.ensure_future(self._clock.sleep(timeout_s))
        await asyncio.wait({watcher, timer}, return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        await running.kill()
        await asyncio.wait({watcher})

    def record_destroyed(self, machine: Machine) -> None:
        """Record the machine's last event; its name is free again."""
        gone = replace(machine, state="destroyed", lease=None, pids=(), should_run=False)
        self.recorder.record(gone, event=self.recorder.new_event("destroy", "destroyed", "flyd"))
        self._runtime.forget(machine.id)
        self._run(machine.id).ports = {}

    def forget(self, machine_id: str) -> None:
        """Drop what is known of a destroyed machine, and what it left on this host."""
        self._runtime.forget(machine_id)
        self._runs.pop(machine_id, None)

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work in a task that is cancelled when the engine closes."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """End everything that runs, by its own stop signal, and record the ends."""
        self._is_closing = True
        # A start is let through: broken off, it would leave processes that nobody knows.
        await asyncio.gather(*(run.after_start() for run in list(self._runs.values()) if run.start_done))
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.gather(*(self._end(machine_id) for machine_id, run in list(self._runs.items()) if run.running))
        await asyncio.gather(*self._discards, return_exceptions=True)
        self._logs.close()
        self.recorder.close()

    async def _end(self, machine_id: str) -> None:
        machine = self._store.machine(machine_id)
        number, timeout_s = stop_rule(machine.config if machine else {}, {}, _SHUTDOWN_S)
        await self.stop(machine_id, number, min(timeout_s, _SHUTDOWN_S))

    # The end of a run

    async def _watch(self, machine_id: str, run: RunState, running: Running) -> None:
        ended = await running.wait()
        if run.is_out_of_memory:
            ended = _OUT_OF_MEMORY
        self._logs.write()
        if self._runtime.port_style == "host" and not run.is_stopping:
            await tell_clash(self._store, self._logs, machine_id, ended)
        await self._clock.sleep(self._latency.exit_s)
        was_asked = run.is_stopping
        run.running = run.watcher = None
        run.is_out_of_memory = run.is_suspended = run.is_stopping = False
        await self._record_end(machine_id, run, ended, was_asked=was_asked)
        discarding = asyncio.create_task(running.discard())
        self._discards.add(discarding)
        discarding.add_done_callback(self._discards.discard)

    async def _record_end(self, machine_id: str, run: RunState, ended: Ended, *, was_asked: bool) -> None:
        """Record the end, and restart or destroy the machine where its config says so."""
        machine = self._store.machine(machine_id)
        if machine is None or machine.is_destroyed:
            return
        retries = run.retries
        settled = settle(machine, ended, now_ms(self._clock), was_asked=was_asked, retries=retries)
        if settled.request is None:
            self.recorder.record(settled.machine)
            return
        recorded = settled.machine
        if settled.is_restarting or settled.is_over:
            run.active_until_s = self._clock.monotonic() + self._latency.reap_s
            if self._behaviour.exit_event_lag_s:
                self.recorder.record(recorded)
                await self._clock.sleep(self._behaviour.exit_event_lag_s)
                recorded = self._store.machine(machine_id) or recorded
        recorded = self.recorder.record(
            recorded, event=self.recorder.new_event("exit", "stopped", "flyd", settled.request)
        )
        if settled.is_restarting:
            run.retries = retries + 1
            self.in_background(self._restart(recorded, retries))
        elif settled.is_over:
            run.retries = 0
            if machine.config.get("auto_destroy"):
                self.record_destroyed(recorded)

    async def _restart(self, ended: Machine, retries: int) -> None:
        """Start the machine again after a back-off, unless it has changed by then."""
        await self._clock.sleep(min(_LONGEST_DELAY_S, self._latency.restart_delay_s * 2 ** min(retries, _DOUBLINGS)))
        machine = self._store.machine(ended.id)
        if machine and machine.state == "started" and machine.runs == ended.runs:
            await self._begin_eventually(machine)
