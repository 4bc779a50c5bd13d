"""Keep what the engine knows: in a SQLite database, and in memory in front of it.

Each change is one transaction, committed before anything sees it; a change that cannot be written has not happened.
Only what has happened by itself (`record`) is seen before it is written.
"""

import json
import sqlite3
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec.structs import asdict, replace

from reconciler.engine.models import (
    App,
    AppAddress,
    Event,
    Lease,
    LogEntry,
    Machine,
    Release,
    Secret,
    SecretsVersion,
    Snapshot,
    Volume,
)
from reconciler.engine.store.database import explained, give_back, open_database, transaction
from reconciler.engine.store.log_table import LogTable
from reconciler.engine.store.retention import EVENTS_KEPT, VERSIONS_KEPT

V = TypeVar("V", bound=Any)
_MOST_MADE: Final = 8  # for each machine
_encode: Final = msgspec.json.Encoder().encode
_APP: Final = App.__struct_fields__
_FORGET_VERSIONS: Final = (
    "DELETE FROM versions WHERE machine = ? AND sequence <= (SELECT sequence FROM versions WHERE machine = ?"
    f" ORDER BY sequence DESC LIMIT 1 OFFSET {VERSIONS_KEPT})"
)


class Store:
    """Apps, machines, logs, volumes and secrets.

    Each change raises sqlite3.Error where the disk does not take it; the constructor raises EngineStartError where the
    database cannot be used at all.
    """

    def __init__(self, database: Path | str) -> None:
        self._connection = open_database(database)
        try:
            with explained(database):
                self._load()
        except BaseException:
            self._connection.close()
            raise

    def _load(self) -> None:
        self.apps: dict[str, App] = {
            row[0]: App(**dict(zip(_APP, row, strict=True)))
            for row in self._rows(f"SELECT {', '.join(_APP)} FROM apps")
        }
        self._machines = {
            identifier: _machine_of(value) for identifier, value in self._rows("SELECT id, value FROM machines")
        }
        self._unwritten: dict[str, None] = {}  # machines whose record is in memory only
        self._made: dict[str, dict[Hashable, bytes]] = {}  # by machine id
        self._by_app: dict[str, dict[str, None]] = {}
        for machine in self._machines.values():
            self._by_app.setdefault(machine.app, {})[machine.id] = None
        self.log_table: LogTable = LogTable(self._connection)
        self.volumes: Table[Volume] = Table(self._connection, "volumes", Volume)
        self.snapshots: Table[Snapshot] = Table(self._connection, "snapshots", Snapshot)
        self.secrets: Table[Secret] = Table(self._connection, "secrets", Secret)
        self.secrets_versions: Table[SecretsVersion] = Table(self._connection, "secrets_versions", SecretsVersion)
        self.addresses: Table[AppAddress] = Table(self._connection, "addresses", AppAddress)
        self.releases: Table[Release] = Table(self._connection, "releases", Release)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def machine(self, machine_id: str) -> Machine | None:
        """Return the machine, also a destroyed one; None where no record of it is kept."""
        return self._machines.get(machine_id)

    def made_of(self, machine: Machine) -> dict[Hashable, bytes]:
        """Return what was made of the machine's record, by what else it depends on.

        The next change of the record drops it all. What is made of any other record than the current one is not kept.
        """
        if self._machines.get(machine.id) is not machine:
            return {}
        made = self._made.setdefault(machine.id, {})
        if len(made) >= _MOST_MADE:
            made.clear()
        return made

    def machines(self, app: str | None = None) -> Iterator[Machine]:
        """Yield the machines of the app, or of all apps; destroyed ones too."""
        if app is None:
            yield from list(self._machines.values())
            return
        for machine_id in list(self._by_app.get(app, ())):
            yield self._machines[machine_id]

    def add_app(self, app: App) -> None:
        """Write a new app."""
        with self._transaction():
            self._connection.execute(
                f"INSERT INTO apps ({', '.join(_APP)}) VALUES ({', '.join('?' * len(_APP))})",
                [getattr(app, name) for name in _APP],
            )
        self.apps[app.name] = app

    def remove_app(self, name: str) -> None:
        """Delete an app."""
        with self._transaction():
            self._connection.execute("DELETE FROM apps WHERE name = ?", (name,))
        self.apps.pop(name, None)

    def save(self, machine: Machine, *, event: Event | None = None, is_new_version: bool = False) -> Machine:
        """Write the machine, with the event added to it, if given.

        Return the machine as written.
        """
        machine = _with_event(machine, event)
        with self._transaction():
            self._connection.execute(
                "INSERT INTO machines VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value",
                (machine.id, machine.app, json_of(machine)),
            )
            if is_new_version:
                self._connection.execute(
                    "INSERT INTO versions (machine, version, config) VALUES (?, ?, ?)",
                    (machine.id, machine.instance_id, json_of(machine.config)),
                )
                self._connection.execute(_FORGET_VERSIONS, (machine.id, machine.id))
        self._unwritten.pop(machine.id, None)
        return self._remember(machine)

    def record(self, machine: Machine, *, event: Event | None = None) -> Machine:
        """Keep what has happened: in memory only where the disk does not take it.

        `write_unwritten` writes it later.
        """
        machine = _with_event(machine, event)
        try:
            return self.save(machine)
        except sqlite3.Error:
            self._unwritten[machine.id] = None
            return self._remember(machine)

    @property
    def has_unwritten(self) -> bool:
        """Return whether a record is in memory only."""
        return bool(self._unwritten)

    def write_unwritten(self) -> None:
        """Write the records that are in memory only.

        Raises sqlite3.Error where some are still not written.
        """
        for machine_id in list(self._unwritten):
            self.save(self._machines[machine_id])

    def _remember(self, machine: Machine) -> Machine:
        self._machines[machine.id] = machine
        self._made.pop(machine.id, None)
        self._by_app.setdefault(machine.app, {})[machine.id] = None
        return machine

    def versions(self, machine_id: str) -> list[tuple[str, Any]]:
        """Return each version with its config, newest first."""
        rows = self._rows("SELECT version, config FROM versions WHERE machine = ? ORDER BY sequence DESC", machine_id)
        return [(version, value_of(config)) for version, config in rows]

    def version(self, machine_id: str, version: str) -> dict[str, Any] | None:
        """Return the config of one version; None where it is not retained."""
        rows = self._rows("SELECT config FROM versions WHERE machine = ? AND version = ?", machine_id, version)
        return next((value_of(config) for (config,) in rows), None)

    def forget(self, machine: Machine) -> None:
        """Delete the record of a destroyed machine, and its versions.

        Its log is deleted first, by `log_table`.
        """
        with self._transaction():
            self._connection.execute("DELETE FROM versions WHERE machine = ?", (machine.id,))
            self._connection.execute("DELETE FROM machines WHERE id = ?", (machine.id,))
        self._unwritten.pop(machine.id, None)
        self._machines.pop(machine.id, None)
        self._made.pop(machine.id, None)
        self._by_app.get(machine.app, {}).pop(machine.id, None)

    def give_back(self) -> bool:
        """Give some free space back to the disk; return whether there is more."""
        return give_back(self._connection)

    def add_logs(self, entries: Sequence[LogEntry]) -> None:
        """Append lines to the log."""
        self.log_table.append(entries)

    def logs(self, app: str, machine_id: str | None, after_ns: int | None) -> list[LogEntry]:
        """Return log lines from `after_ns` on, oldest first.

        Without it the newest hundred.
        """
        return self.log_table.page(app, machine_id, after_ns)

    def _rows(self, statement: str, *parameters: Any) -> Iterable[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    def _transaction(self) -> transaction:
        return transaction(self._connection)


def _with_event(machine: Machine, event: Event | None) -> Machine:
    return replace(machine, events=(event, *machine.events)[:EVENTS_KEPT]) if event else machine


def _machine_of(text: str) -> Machine:
    value = value_of(text)
    value["lease"] = Lease(**value["lease"]) if value["lease"] else None
    value["events"] = tuple(Event(**event) for event in value["events"])
    value["pids"] = tuple((pid, started) for pid, started in value["pids"])
    return Machine(**value)


class Table(Generic[V]):
    """Values of one class by id: rows of JSON, and the values in memory.

    Changes raise sqlite3.Error.
    """

    def __init__(self, connection: sqlite3.Connection, table: str, make: Callable[..., V]) -> None:
        self._connection = connection
        self._table = table
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (id TEXT PRIMARY KEY, value TEXT NOT NULL)")
        rows = connection.execute(f"SELECT id, value FROM {table} ORDER BY rowid").fetchall()
        self._values: dict[str, V] = {key: make(**value_of(value)) for key, value in rows}

    def get(self, key: str) -> V | None:
        """Return the value of this id, if there is one."""
        return self._values.get(key)

    def __iter__(self) -> Iterator[V]:
        return iter(list(self._values.values()))

    def put(self, key: str, value: V) -> V:
        """Write the value under this id, and return it."""
        text = json_of(value)
        statement = f"INSERT INTO {self._table} VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value"
        self._connection.execute(statement, (key, text))
        self._values[key] = value
        return value

    def remove(self, key: str) -> None:
        """Delete the value of this id, if there is one."""
        self._connection.execute(f"DELETE FROM {self._table} WHERE id = ?", (key,))
        self._values.pop(key, None)


def json_of(value: Any) -> str:
    """Return the JSON of a value, with its fields where it is a `Struct`."""
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot hold: JSON has an escape for it
        return json.dumps(value, separators=(",", ":"), default=asdict)


def value_of(text: str) -> Any:
    """Return the value that `json_of` wrote.

    Earlier versions wrote lone surrogates and NaN, which no reply can hold: these become `?` and null.
    """
    value = json.loads(text, parse_constant=lambda _: None)
    if "\\ud" not in text:
        return value
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
