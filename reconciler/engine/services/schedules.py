"""Start scheduled machines: hourly to monthly, counted from their creation.

Fly's own times are rough; these are exact. Like Fly's scheduler this one does not ask for leases (assumption A12), and
skips a machine that runs.
"""

import asyncio
from typing import Final

from reconciler.engine.engine import Engine
from reconciler.engine.models import Machine

_DAY_S: Final = 86400
PERIODS_S: Final = {"hourly": 3600, "daily": _DAY_S, "weekly": 7 * _DAY_S, "monthly": 30 * _DAY_S}


class Schedules:
    """The timers of all scheduled machines.

    `start` subscribes to the engine; `close` ends them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._timers: dict[str, tuple[int, asyncio.Task[None]]] = {}

    def start(self) -> None:
        """Follow the machines of the engine."""
        self._engine.subscribe(self._changed)
        for machine in self._engine.store.machines():
            self._changed(machine)

    async def close(self) -> None:
        """End all timers."""
        tasks = [task for _, task in self._timers.values()]
        self._timers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _changed(self, machine: Machine) -> None:
        """Start, replace or end the machine's timer."""
        period_s = period_of(machine)
        period, timer = self._timers.get(machine.id, (None, None))
        if period == period_s:
            return
        if timer:
            timer.cancel()
            del self._timers[machine.id]
        if period_s:
            self._timers[machine.id] = (period_s, asyncio.create_task(self._keep(machine.id, period_s)))

    async def _keep(self, machine_id: str, period_s: int) -> None:
        while machine := self._engine.store.machine(machine_id):
            now_s = self._engine.clock.now().timestamp()
            age_s = now_s - machine.created_ms / 1000
            await self._engine.clock.sleep(period_s - age_s % period_s)
            machine = self._engine.store.machine(machine_id)
            if machine and machine.state == "stopped":
                await self._engine.start_unleased(machine)


def period_of(machine: Machine) -> int | None:
    """Return the machine's period in seconds; None where it has no schedule in force."""
    if machine.is_destroyed or not machine.is_armed:
        return None
    return PERIODS_S.get(str(machine.config.get("schedule") or ""))
