"""The table of log lines: append, read in pages, and keep within bounds."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from reconciler.engine.models import LogEntry
from reconciler.engine.store.database import transaction
from reconciler.engine.store.retention import LOG_BYTES_KEPT, LOG_LINE_OVERHEAD, LOG_LINES_KEPT

_PAGE: Final = 1000
_FIRST_PAGE: Final = 100
_FORGOTTEN_AT_ONCE: Final = 500
_COLUMNS: Final = "app, machine, region, timestamp_ns, stream, provider, level, message"
_BYTES: Final = f"LENGTH(CAST(message AS BLOB)) + {LOG_LINE_OVERHEAD}"


class LogTable:
    """The log lines of all machines.

    Changes raise sqlite3.Error where the disk does not take them.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._last_timestamp_ns = 0
        self._gaps: dict[str, LogEntry] = {}  # by machine: a line that says that lines are missing, not written yet
        [(self._lines, self._bytes)] = self._rows(f"SELECT COUNT(*), COALESCE(SUM({_BYTES}), 0) FROM logs")

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Append lines; each gets a timestamp of its own, which is its place in the log.

        Beyond the bounds the oldest lines are deleted, a limited number at once, as more would take long. Lines that
        the disk does not take are lost: a line of the engine's own takes their place, and is written with the next.
        """
        try:
            self._append(entries)
        except sqlite3.Error as error:
            self._note_gaps(entries, error)
            raise
        self._gaps.clear()

    @property
    def has_gaps(self) -> bool:
        """Return whether lines are missing, and the log does not say so yet."""
        return bool(self._gaps)

    def _note_gaps(self, entries: Iterable[LogEntry], error: sqlite3.Error) -> None:
        for entry in entries:
            if entry.machine_id not in self._gaps:
                self._last_timestamp_ns = max(entry.timestamp_ns, self._last_timestamp_ns + 1)
                self._gaps[entry.machine_id] = replace(
                    entry,
                    timestamp_ns=self._last_timestamp_ns,
                    stream="",
                    provider="runner",
                    level="error",
                    message=f"the output is incomplete: the engine cannot write its log: {error}",
                    sequence=-self._last_timestamp_ns,
                )

    def _append(self, entries: Iterable[LogEntry]) -> None:
        rows = [_row_of(gap, gap.timestamp_ns) for gap in self._gaps.values()]
        last_ns = self._last_timestamp_ns
        size = sum(map(_size, self._gaps.values()))
        for entry in entries:
            last_ns = max(entry.timestamp_ns, last_ns + 1)
            rows.append(_row_of(entry, last_ns))
            size += _size(entry)
        with transaction(self._connection):
            self._connection.executemany(f"INSERT INTO logs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            lines, bytes_ = self._forget_oldest(
                self._lines + len(rows), self._bytes + size, max(_FORGOTTEN_AT_ONCE, 2 * len(rows))
            )
        self._lines, self._bytes, self._last_timestamp_ns = lines, bytes_, last_ns

    def _forget_oldest(self, lines: int, bytes_: int, most: int) -> tuple[int, int]:
        """Delete the oldest lines beyond the bounds, `most` at once.

        Return how many lines and bytes are left.
        """
        if lines <= LOG_LINES_KEPT and bytes_ <= LOG_BYTES_KEPT:
            return lines, bytes_
        last = 0
        for sequence, size in self._rows(f"SELECT sequence, {_BYTES} FROM logs ORDER BY sequence LIMIT ?", most):
            if lines <= LOG_LINES_KEPT and bytes_ <= LOG_BYTES_KEPT:
                break
            last, lines, bytes_ = sequence, lines - 1, bytes_ - size
        self._connection.execute("DELETE FROM logs WHERE sequence <= ?", (last,))
        return lines, bytes_

    def forget(self, app: str, machine_id: str, *, most: int) -> bool:
        """Delete up to `most` lines of the machine; return whether there are more."""
        condition = f"sequence IN (SELECT sequence FROM logs WHERE app = ? AND machine = ? LIMIT {most})"
        [(lines, size)] = self._rows(
            f"SELECT COUNT(*), COALESCE(SUM({_BYTES}), 0) FROM logs WHERE {condition}", app, machine_id
        )
        self._gaps.pop(machine_id, None)
        if lines:
            self._connection.execute(f"DELETE FROM logs WHERE {condition}", (app, machine_id))
            self._lines, self._bytes = self._lines - lines, self._bytes - size
        return bool(lines == most)

    def page(self, app: str, machine_id: str | None, after_ns: int | None) -> list[LogEntry]:
        """Return lines from `after_ns` on, oldest first; without it the newest hundred."""
        condition, parameters = "app = ?", [app]
        if machine_id:
            condition, parameters = condition + " AND machine = ?", [*parameters, machine_id]
        if after_ns is None:
            order, limit = "DESC", _FIRST_PAGE
        else:
            condition, order, limit = f"{condition} AND timestamp_ns >= {after_ns}", "ASC", _PAGE
        rows = self._rows(
            f"SELECT {_COLUMNS}, sequence FROM logs WHERE {condition} ORDER BY timestamp_ns {order} LIMIT {limit}",
            *parameters,
        )
        entries = [_entry_of(row) for row in rows]
        if after_ns is None:
            entries.reverse()
        elif len(entries) == limit:
            return entries
        return entries + self._gaps_of(app, machine_id, after_ns or 0)

    def _gaps_of(self, app: str, machine_id: str | None, after_ns: int) -> list[LogEntry]:
        """Return the unwritten notes of missing lines.

        Each is newer than all written lines.
        """
        return [
            gap
            for gap in self._gaps.values()
            if gap.app == app and machine_id in {None, "", gap.machine_id} and gap.timestamp_ns >= after_ns
        ]

    def newest(self) -> int:
        """Return the sequence number of the newest line."""
        [(number,)] = self._rows("SELECT COALESCE(MAX(sequence), 0) FROM logs")
        return int(number)

    def since(self, number: int, limit: int) -> list[LogEntry]:
        """Return lines of all machines after this sequence number, oldest first."""
        statement = f"SELECT {_COLUMNS}, sequence FROM logs WHERE sequence > ? ORDER BY sequence LIMIT ?"
        return [_entry_of(row) for row in self._rows(statement, number, limit)]

    def _rows(self, statement: str, *parameters: Any) -> Iterable[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()


def _size(entry: LogEntry) -> int:
    return len(entry.message.encode("utf-8", "replace")) + LOG_LINE_OVERHEAD


def _row_of(entry: LogEntry, timestamp_ns: int) -> tuple[Any, ...]:
    return (
        entry.app,
        entry.machine_id,
        entry.region,
        timestamp_ns,
        entry.stream,
        entry.provider,
        entry.level,
        entry.message,
    )


def _entry_of(row: tuple[Any, ...]) -> LogEntry:
    app, machine, region, timestamp_ns, stream, provider, level, message, sequence = row
    return LogEntry(
        app=app,
        machine_id=machine,
        region=region,
        timestamp_ns=timestamp_ns,
        stream=stream,
        provider=provider,
        level=level,
        message=message,
        sequence=sequence,
    )
