"""Delete the records of machines that were destroyed long ago, and free the disk.

A little at a time, so that no call has to wait.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from reconciler.engine.engine import Engine
from reconciler.engine.models import Machine
from reconciler.engine.store.retention import DESTROYED_KEPT_S

_LINES_AT_ONCE: Final = 500
_PAUSE_S: Final = 60.0  # machines that were destroyed one after the other are deleted together


class Cleanup:
    """Delete old records. `start` subscribes to the engine; `close` ends it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._due_s: dict[str, float] = {}  # by machine id: when to delete it, in seconds since 1970
        self._has_due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow the machines of the engine."""
        self._engine.subscribe(self._changed)
        for machine in self._engine.store.machines():
            self._changed(machine)
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """End the cleanup."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _changed(self, machine: Machine) -> None:
        if machine.is_destroyed and machine.id not in self._due_s:
            self._due_s[machine.id] = machine.updated_ms / 1000 + DESTROYED_KEPT_S
            self._has_due.set()

    async def _keep(self) -> None:
        while True:
            with suppress(sqlite3.Error):  # the disk may have room next time
                await self._forget()
                await _in_steps(self._engine.store.give_back)
            if not self._due_s:
                self._has_due.clear()
                await self._has_due.wait()
            await self._engine.clock.sleep(max(_PAUSE_S, min(self._due_s.values()) - self._now_s()))

    async def _forget(self) -> None:
        """Delete the machines that are due."""
        now_s = self._now_s()
        for machine_id in [machine_id for machine_id, due_s in self._due_s.items() if due_s <= now_s]:
            machine = self._engine.store.machine(machine_id)
            if machine:
                lines = self._engine.store.log_table
                await _in_steps(partial(lines.forget, machine.app, machine.id, most=_LINES_AT_ONCE))
                self._engine.forget(machine)
            del self._due_s[machine_id]
            await asyncio.sleep(0)

    def _now_s(self) -> float:
        return self._engine.clock.now().timestamp()


async def _in_steps(step: Callable[[], bool]) -> None:
    """Repeat the step while it returns True, and let other tasks run in between."""
    is_more = True
    while is_more:
        is_more = step()
        await asyncio.sleep(0)
