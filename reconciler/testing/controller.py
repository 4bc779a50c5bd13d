"""Control an engine from inside: what a test does and asks besides the API.

None of this is a request: no fault strikes it, and it is not counted. Use it on the engine's own loop only.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from reconciler.clock import Clock
from reconciler.engine.engine import Engine
from reconciler.engine.faults.config import parse_settings
from reconciler.engine.faults.rule_checks import checked_rule
from reconciler.engine.faults.rules import FaultConfigError, Rule
from reconciler.engine.faults.settings import Settings
from reconciler.engine.http import serializers
from reconciler.engine.models import RESTING, RUNNING, TRANSIENT, LogEntry, Machine
from reconciler.engine.runtime.base import Runtime

T = TypeVar("T")
_SETTINGS: Final = ("latency", "behaviour", "limits_rates")
_STATES: Final = RESTING | RUNNING | TRANSIENT | {"destroying", "destroyed"}
_LINES_SHOWN: Final = 20
_END_S: Final = 5.0


class EngineController:
    """An engine in memory.

    `settings` are those of the mark: latency, behaviour, limits_rates. `volumes` is the directory of volumes.
    """

    def __init__(
        self, *, runtime: Runtime, clock: Clock, settings: dict[str, Any], volumes: Path | None = None
    ) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self.engine: Engine = Engine(
            database=":memory:",
            runtime=runtime,
            clock=clock,
            settings=settings_of(settings),
            on_change=self._changed,
            volumes=volumes,
        )

    def _changed(self, _machine: Machine) -> None:
        for change in self._waiting:
            if not change.done():
                change.set_result(None)

    async def close(self) -> None:
        """Kill all that runs, and end the engine."""
        self.clear_faults()
        for machine in list(self.engine.store.machines()):
            if machine.pids:
                self.engine.vanish(machine)
        await self._until(lambda: not any(machine.pids for machine in self.engine.store.machines()) or None, _END_S)
        await self.engine.close()

    def create_app(self, name: str) -> None:
        """Create an app in the organization `personal`."""
        self.engine.create_app(name, "personal")

    def fault(self, fault: str, details: dict[str, Any]) -> Rule:
        """Add a fault rule. Raises FaultConfigError, a ValueError."""
        rule = rule_of(fault, details)
        self.engine.faults.rules.append(rule)
        return rule

    def clear_faults(self) -> None:
        """Remove all fault rules."""
        self.engine.faults.rules.clear()

    def machines(self, app: str) -> list[dict[str, Any]]:
        """Return the app's live machines as the API spells them, sorted by name."""
        machines = sorted(self.engine.machines(app), key=lambda machine: machine.name)
        return [self._machine_json(machine) for machine in machines]

    def logs(self, app: str, machine: str | None) -> list[str]:
        """Return the log lines of the app, or of one machine by id or name, oldest first."""
        names = {machine} | {found.id for found in self._named(app, machine)}
        return [line.message for line in self._lines(app, 0) if machine is None or line.machine_id in names]

    async def wait_for_state(self, app: str, machine: str, states: tuple[str, ...], timeout_s: float) -> dict[str, Any]:
        """Return the machine (by id or name) once it is in one of the states.

        Raises TimeoutError, and ValueError for a state that does not exist.
        """
        for state in states:
            if state not in _STATES:
                raise ValueError(f"unknown state {state!r}; known: {', '.join(sorted(_STATES))}")

        def reached() -> Machine | None:
            return next((found for found in self._named(app, machine) if found.state in states), None)

        found = await self._until(reached, timeout_s)
        if found is None:
            wanted = f"machine {machine!r} of app {app!r} was not {' or '.join(states)} within {timeout_s:g} s"
            raise TimeoutError(f"{wanted}. {self._situation(app)}")
        return self._machine_json(found)

    async def wait_for_log(self, app: str, text: str, machine: str | None, timeout_s: float) -> str:
        """Return the first log line with the text in it, once there is one.

        Raises TimeoutError.
        """
        after_ns = 0

        def printed() -> str | None:
            nonlocal after_ns
            ids = {found.id for found in self._named(app, machine)}
            for line in self._lines(app, after_ns):
                after_ns = line.timestamp_ns + 1
                if text in line.message and (machine is None or line.machine_id in ids):
                    return line.message
            return None

        found = await self._until(printed, timeout_s)
        if found is None:
            raise TimeoutError(f"no line with {text!r} in app {app!r} within {timeout_s:g} s. {self._situation(app)}")
        return found

    def story(self) -> str:
        """Return each app's machines and last log lines, for the report of a failed test."""
        return "\n".join(f"app {app!r}: {self._situation(app)}" for app in self.engine.store.apps)

    async def _until(self, find: Callable[[], T | None], timeout_s: float) -> T | None:
        """Return the first result of `find` that is not None, called at each change.

        None after the timeout.
        """
        timer = asyncio.ensure_future(self.engine.clock.sleep(timeout_s))
        try:
            while (found := find()) is None and not timer.done():
                change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.add(change)
                await asyncio.wait({change, timer}, return_when=asyncio.FIRST_COMPLETED)
                self._waiting.discard(change)
            return found
        finally:
            timer.cancel()

    def _named(self, app: str, machine: str | None) -> list[Machine]:
        return [found for found in self.engine.store.machines(app) if machine in {found.id, found.name}]

    def _lines(self, app: str, after_ns: int) -> list[LogEntry]:
        """Return all log lines of the app from `after_ns` on."""
        lines: list[LogEntry] = []
        while page := self.engine.store.logs(app, None, lines[-1].timestamp_ns + 1 if lines else after_ns):
            lines += page
        return lines

    def _situation(self, app: str) -> str:
        machines = ", ".join(f"{one.name} ({one.id}) is {one.state}" for one in self.engine.store.machines(app))
        lines = self.logs(app, None)[-_LINES_SHOWN:]
        printed = "".join(f"\n  | {line}" for line in lines) or " nothing"
        return f"Its machines: {machines or 'none'}. They printed:{printed}"

    def _machine_json(self, machine: Machine) -> dict[str, Any]:
        return serializers.machine_json(machine, self.engine.leases.current(machine), self.engine.settings.behaviour)


def settings_of(options: dict[str, Any]) -> Settings:
    """Return the engine settings of these keywords.

    Raises FaultConfigError, a ValueError that lists the known ones.
    """
    for name in options:
        if name not in _SETTINGS:
            raise FaultConfigError(f"unknown setting {name!r}; known: {', '.join(_SETTINGS)}")
    return parse_settings(options)


def rule_of(fault: str, details: dict[str, Any]) -> Rule:
    """Return the rule of one fault.

    Raises FaultConfigError, a ValueError that lists what is known, or says why the rule could never strike.
    """
    return checked_rule({"fault": fault, **details}, f"fault({fault!r})")
