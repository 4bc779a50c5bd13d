"""The engine's memory: SQLite, and in front of it the machines as values.

Every change is one transaction, committed before anything sees it; a change that cannot be written did not happen.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from reconciler.engine.records import (
    EVENTS_KEPT,
    App,
    Event,
    Lease,
    LogEntry,
    Machine,
    Secret,
    SecretsVersion,
    Snapshot,
    Volume,
)
from reconciler.engine.rows import Rows, json_of

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS apps (name TEXT PRIMARY KEY, org TEXT NOT NULL, created_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS machines (id TEXT PRIMARY KEY, app TEXT NOT NULL, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS versions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, machine TEXT NOT NULL, version TEXT NOT NULL, config TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS versions_of ON versions (machine);
CREATE TABLE IF NOT EXISTS logs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, app TEXT NOT NULL, machine TEXT NOT NULL, region TEXT NOT NULL,
    timestamp_ns INTEGER NOT NULL, stream TEXT NOT NULL, provider TEXT NOT NULL, level TEXT NOT NULL,
    message TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS logs_of ON logs (app, machine, timestamp_ns);
"""
_PAGE: Final = 1000
_FIRST_PAGE: Final = 100
_LOGS_KEPT: Final = 100_000
_LOG_COLUMNS: Final = "app, machine, region, timestamp_ns, stream, provider, level, message"


class Store:
    """Apps, machines, logs, volumes, secrets. Raises sqlite3.Error where the disk does not take a change."""

    def __init__(self, database: Path | str) -> None:
        self._connection = sqlite3.connect(str(database), isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)
        self.apps = {name: App(name=name, org=org, created_ms=at) for name, org, at in self._rows("SELECT * FROM apps")}
        self._machines = {
            identifier: _machine_of(value) for identifier, value in self._rows("SELECT id, value FROM machines")
        }
        self._by_app: dict[str, dict[str, None]] = {}
        for machine in self._machines.values():
            self._by_app.setdefault(machine.app, {})[machine.id] = None
        self._last_timestamp_ns = 0
        self.volumes = Rows(self._connection, "volumes", Volume)
        self.snapshots = Rows(self._connection, "snapshots", Snapshot)
        self.secrets = Rows(self._connection, "secrets", Secret)
        self.secrets_versions = Rows(self._connection, "secrets_versions", SecretsVersion)

    def close(self) -> None:
        self._connection.close()

    def machine(self, machine_id: str) -> Machine | None:
        return self._machines.get(machine_id)

    def machines(self, app: str | None = None) -> Iterator[Machine]:
        """The machines of the app, or all; the destroyed ones too."""
        if app is None:
            yield from list(self._machines.values())
            return
        for machine_id in list(self._by_app.get(app, ())):
            yield self._machines[machine_id]

    def add_app(self, app: App) -> None:
        with self._transaction():
            self._connection.execute("INSERT INTO apps VALUES (?, ?, ?)", (app.name, app.org, app.created_ms))
        self.apps[app.name] = app

    def remove_app(self, name: str) -> None:
        with self._transaction():
            self._connection.execute("DELETE FROM apps WHERE name = ?", (name,))
        self.apps.pop(name, None)

    def save(self, machine: Machine, *, event: Event | None = None, is_new_version: bool = False) -> Machine:
        """Writes the machine, with a new event on top where there is one; the machine as it now is."""
        if event:
            machine = replace(machine, events=(event, *machine.events)[:EVENTS_KEPT])
        with self._transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO machines VALUES (?, ?, ?)", (machine.id, machine.app, json_of(machine))
            )
            if is_new_version:
                self._connection.execute(
                    "INSERT INTO versions (machine, version, config) VALUES (?, ?, ?)",
                    (machine.id, machine.instance_id, json_of(machine.config)),
                )
        self._machines[machine.id] = machine
        self._by_app.setdefault(machine.app, {})[machine.id] = None
        return machine

    def versions(self, machine_id: str) -> list[tuple[str, Any]]:
        """Each version with its config, newest first."""
        rows = self._rows("SELECT version, config FROM versions WHERE machine = ? ORDER BY sequence DESC", machine_id)
        return [(version, json.loads(config)) for version, config in rows]

    def add_logs(self, entries: Sequence[LogEntry]) -> None:
        """Appends lines; each gets a timestamp of its own, so that a timestamp is a place in the log."""
        rows = []
        last_ns = self._last_timestamp_ns
        for entry in entries:
            last_ns = max(entry.timestamp_ns, last_ns + 1)
            rows.append(
                (
                    entry.app,
                    entry.machine_id,
                    entry.region,
                    last_ns,
                    entry.stream,
                    entry.provider,
                    entry.level,
                    entry.message,
                )
            )
        with self._transaction():
            self._connection.executemany(f"INSERT INTO logs ({_LOG_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._last_timestamp_ns = last_ns

    def trim_logs(self) -> None:
        """Forgets all but the newest lines."""
        with self._transaction():
            self._connection.execute(
                "DELETE FROM logs WHERE sequence <= (SELECT MAX(sequence) FROM logs) - ?", (_LOGS_KEPT,)
            )

    def logs(self, app: str, machine_id: str | None, after_ns: int | None) -> list[LogEntry]:
        """Lines from `after_ns` on, oldest first; the newest hundred without it."""
        condition, parameters = "app = ?", [app]
        if machine_id:
            condition, parameters = condition + " AND machine = ?", [*parameters, machine_id]
        if after_ns is None:
            order, limit = "DESC", _FIRST_PAGE
        else:
            condition, order, limit = f"{condition} AND timestamp_ns >= {after_ns}", "ASC", _PAGE
        rows = self._rows(
            f"SELECT {_LOG_COLUMNS}, sequence FROM logs WHERE {condition} ORDER BY timestamp_ns {order} LIMIT {limit}",
            *parameters,
        )
        entries = [_log_of(row) for row in rows]
        return entries if after_ns is not None else entries[::-1]

    def last_log(self) -> int:
        """The number of the newest line."""
        [(number,)] = self._rows("SELECT COALESCE(MAX(sequence), 0) FROM logs")
        return int(number)

    def logs_since(self, number: int, limit: int) -> list[LogEntry]:
        """The lines of all machines after that one, oldest first."""
        statement = f"SELECT {_LOG_COLUMNS}, sequence FROM logs WHERE sequence > ? ORDER BY sequence LIMIT ?"
        return [_log_of(row) for row in self._rows(statement, number, limit)]

    def _rows(self, statement: str, *parameters: Any) -> Iterable[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._connection)


class _Transaction:
    """All or nothing. The connection's own context manager leaves a failed commit open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        try:
            self._connection.execute("ROLLBACK" if kind else "COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if kind is None:
                raise


def _machine_of(text: str) -> Machine:
    value = json.loads(text)
    value["lease"] = Lease(**value["lease"]) if value["lease"] else None
    value["events"] = tuple(Event(**event) for event in value["events"])
    value["pids"] = tuple((pid, started) for pid, started in value["pids"])
    return Machine(**value)


def _log_of(row: tuple[Any, ...]) -> LogEntry:
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
