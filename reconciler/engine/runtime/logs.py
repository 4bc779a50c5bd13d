"""Write the output of machines into the log: cut into lines, many at once."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from reconciler.clock import Clock
from reconciler.engine.models import LogEntry, Machine
from reconciler.engine.runtime.base import TakeOutput
from reconciler.engine.store.store import Store

_LONGEST_LINE: Final = 65536
_FLUSH_S: Final = 0.02
_DISK_RETRY_S: Final = 0.1


class LineSplitter:
    """Cut output into lines.

    `take` is called with each; a line that is too long comes in several pieces.
    """

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def add(self, content: bytes) -> None:
        """Take bytes of the output."""
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace").rstrip("\r"))
        while len(self._rest) > _LONGEST_LINE:
            self._take(self._rest[:_LONGEST_LINE].decode("utf-8", "replace"))
            self._rest = self._rest[_LONGEST_LINE:]

    def close(self) -> None:
        """Take what there is of a last line without a newline."""
        if self._rest:
            self._take(self._rest.decode("utf-8", "replace"))
            self._rest = b""


class Logs:
    """Write the log lines of all machines.

    `changed` is called with the id of each machine that has new lines.
    """

    def __init__(self, store: Store, clock: Clock, changed: Callable[[str], None]) -> None:
        self._store = store
        self._clock = clock
        self._changed = changed
        self._pending: list[LogEntry] = []
        self._flush: asyncio.TimerHandle | None = None

    def taker(self, machine: Machine) -> TakeOutput:
        """Return what takes the output of the machine's start.

        No line is older than the machine's newest event, so that it belongs to this start.
        """
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
                self._write_after(_FLUSH_S)

        return take

    def write(self) -> None:
        """Write the pending lines.

        Lines that the disk does not take are lost, and the log says so later.
        """
        with suppress(sqlite3.Error):
            self.write_or_raise()

    def write_or_raise(self) -> None:
        """Write the pending lines, and a note for each gap.

        Raises sqlite3.Error where the disk does not take them.
        """
        self._cancel()
        pending, self._pending = self._pending, []
        if not pending and not self._store.log_table.has_gaps:
            return
        try:
            self._store.add_logs(pending)
        except sqlite3.Error:
            self._write_after(_DISK_RETRY_S)
            raise
        finally:
            for machine_id in dict.fromkeys(entry.machine_id for entry in pending):
                self._changed(machine_id)

    def close(self) -> None:
        """Write what is left, if the disk takes it."""
        self.write()
        self._cancel()

    def _write_after(self, delay_s: float) -> None:
        self._flush = asyncio.get_running_loop().call_later(delay_s, self.write)

    def _cancel(self) -> None:
        if self._flush:
            self._flush.cancel()
            self._flush = None
