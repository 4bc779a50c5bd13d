"""Write the records of machines: what calls ask for, and what has happened."""

import asyncio
import sqlite3
from collections.abc import Callable
from secrets import token_hex
from typing import Any, Final

from msgspec.structs import replace

from reconciler.clock import Clock, now_ms
from reconciler.engine.models import Event, Machine, new_ulid
from reconciler.engine.store.store import Store

_DISK_RETRY_S: Final = 0.5


class Recorder:
    """The only writer of machines that are not destroyed.

    `changed` is called with the id of each machine whose record has changed. With `orders_event_ids`, ids of events are
    ULIDs, as Fly's are; without it they have no order (assumption A15 turned around).
    """

    def __init__(self, store: Store, clock: Clock, changed: Callable[[str], None], *, orders_event_ids: bool) -> None:
        self._orders_event_ids = orders_event_ids
        self._store = store
        self._clock = clock
        self._changed = changed
        self._retry: asyncio.TimerHandle | None = None

    def new_event(self, kind: str, status: str, source: str, request: dict[str, Any] | None = None) -> Event:
        """Return an event of this moment; `request` is its payload as the API spells it."""
        at_ms = now_ms(self._clock)
        identifier = new_ulid(at_ms) if self._orders_event_ids else token_hex(10)
        return Event(id=identifier, type=kind, status=status, source=source, timestamp_ms=at_ms, request=request)

    def save(self, machine: Machine, *, event: Event | None = None, is_new_version: bool = False) -> Machine:
        """Write what a call asks for. Raises sqlite3.Error: then nothing has changed."""
        machine, event = self._stamped(machine, event)
        saved = self._store.save(machine, event=event, is_new_version=is_new_version)
        self._changed(machine.id)
        return saved

    def record(self, machine: Machine, *, event: Event | None = None) -> Machine:
        """Keep what has happened: in memory, and on disk as soon as there is room."""
        machine, event = self._stamped(machine, event)
        recorded = self._store.record(machine, event=event)
        if self._store.has_unwritten and self._retry is None:
            self._retry_later()
        self._changed(machine.id)
        return recorded

    def close(self) -> None:
        """Write what is not written yet, if the disk takes it."""
        self._write()
        if self._retry:
            self._retry.cancel()
            self._retry = None

    def _retry_later(self) -> None:
        self._retry = asyncio.get_running_loop().call_later(_DISK_RETRY_S, self._write)

    def _write(self) -> None:
        self._retry = None
        try:
            self._store.write_unwritten()
        except sqlite3.Error:
            self._retry_later()

    def _stamped(self, machine: Machine, event: Event | None) -> tuple[Machine, Event | None]:
        machine = replace(machine, updated_ms=now_ms(self._clock))
        if event and machine.events:
            # Strictly later than the event before: a log line then belongs to exactly one of two events.
            event = replace(event, timestamp_ms=max(event.timestamp_ms, machine.events[0].timestamp_ms + 1))
        return machine, event
