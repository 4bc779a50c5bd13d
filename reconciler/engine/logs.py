"""The output of machines on its way into the store."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from reconciler.clock import Clock
from reconciler.engine.records import LogEntry, Machine
from reconciler.engine.runtime import TakeOutput
from reconciler.engine.store import Store

_FLUSH_S: Final = 0.02


class Logs:
    """Takes lines and writes them together, a moment later. `changed` is told of a machine that has said something."""

    def __init__(self, store: Store, clock: Clock, changed: Callable[[str], None]) -> None:
        self._store = store
        self._clock = clock
        self._changed = changed
        self._pending: list[LogEntry] = []
        self._flush: asyncio.TimerHandle | None = None

    def taker(self, machine: Machine) -> TakeOutput:
        """What takes the output of the machine's start; no line is older than the machine's newest event."""
        started_ns = machine.events[0].timestamp_ms * 1_000_000

        def take(stream: str, message: str) -> None:
            entry = LogEntry(
                app=machine.app,
                machine_id=machine.id,
                region=machine.region,
                timestamp_ns=max(started_ns, int(self._clock.now().timestamp() * 1e6) * 1000),
                stream=stream,
                provider="app" if stream else "runner",
                level="info" if stream else "error",
                message=message,
            )
            self._pending.append(entry)
            if self._flush is None:
                self._flush = asyncio.get_running_loop().call_later(_FLUSH_S, self.write)

        return take

    def write(self) -> None:
        """Writes what has come since the last time; lines that the disk does not take are lost."""
        if self._flush:
            self._flush.cancel()
            self._flush = None
        pending, self._pending = self._pending, []
        if pending:
            with suppress(sqlite3.Error):
                self._store.add_logs(pending)
            for machine_id in dict.fromkeys(entry.machine_id for entry in pending):
                self._changed(machine_id)
