"""Open, check and migrate the database file; explain why one cannot be used.

A file of an earlier version is migrated when it is opened; one of a later version is not touched. `give_back` returns
free pages to the disk, a few at a time: a VACUUM of the whole file would block all calls.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from reconciler.engine.errors import ANOTHER_HOME, FREE_SPACE, EngineStartError, make_writable
from reconciler.engine.store.retention import LOG_BYTES_KEPT, LOG_LINE_OVERHEAD, LOG_LINES_KEPT, VERSIONS_KEPT

# Raise it for whatever an earlier version of this tool could not read: a new field of a record, too.
VERSION: Final = 2
# The statements from each version to the next. Version 0 is a new file, or one older than these versions.
_MIGRATIONS: Final = (
    (
        "CREATE TABLE IF NOT EXISTS apps (name TEXT PRIMARY KEY, org TEXT NOT NULL, created_ms INTEGER NOT NULL)",
        "CREATE TABLE IF NOT EXISTS machines (id TEXT PRIMARY KEY, app TEXT NOT NULL, value TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS versions (sequence INTEGER PRIMARY KEY AUTOINCREMENT, machine TEXT NOT NULL,"
        " version TEXT NOT NULL, config TEXT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS versions_of ON versions (machine)",
        "CREATE TABLE IF NOT EXISTS logs (sequence INTEGER PRIMARY KEY AUTOINCREMENT, app TEXT NOT NULL,"
        " machine TEXT NOT NULL, region TEXT NOT NULL, timestamp_ns INTEGER NOT NULL, stream TEXT NOT NULL,"
        " provider TEXT NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS logs_of ON logs (app, machine, timestamp_ns)",
        # Rows from before there were bounds: delete them first, so that the VACUUM below does not copy them.
        "DELETE FROM versions WHERE sequence IN (SELECT sequence FROM (SELECT sequence, ROW_NUMBER() OVER"
        f" (PARTITION BY machine ORDER BY sequence DESC) AS place FROM versions) WHERE place > {VERSIONS_KEPT})",
        f"DELETE FROM logs WHERE sequence <= (SELECT MAX(sequence) - {LOG_LINES_KEPT} FROM logs)",
        "DELETE FROM logs WHERE sequence <= (SELECT MAX(sequence) FROM (SELECT sequence, SUM("
        f"LENGTH(CAST(message AS BLOB)) + {LOG_LINE_OVERHEAD}) OVER (ORDER BY sequence DESC) AS bytes FROM logs)"
        f" WHERE bytes > {LOG_BYTES_KEPT})",
    ),
    (
        "ALTER TABLE apps ADD COLUMN network TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE apps ADD COLUMN idempotency_key TEXT NOT NULL DEFAULT ''",
    ),
)
_TABLES: Final = frozenset({"apps", "machines", "versions", "logs"})
_MEMORY: Final = ":memory:"
_INCREMENTAL: Final = 2
_WAL_BYTES_KEPT: Final = 4 * 2**20
_PAGES_AT_ONCE: Final = 64
_PAGES_LEFT: Final = 256  # free pages that the next log lines will need anyway
_BESIDE: Final = ("-wal", "-shm", "-journal")
_NO_ROOM: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
_NOT_OURS_TO_WRITE: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_IN_USE: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def open_database(database: Path | str) -> sqlite3.Connection:
    """Return a connection to the file, which is created or migrated first.

    Raises EngineStartError.
    """
    if str(database) == _MEMORY:
        connection = _connected(_MEMORY)
        _set_up(connection)
        _migrate(connection)
        return connection
    file = Path(database)
    with explained(file):
        if is_new := not file.exists():
            _make(file)
        if not file.stat().st_size:
            raise sqlite3.DatabaseError("it is empty")
        connection = _connected(file)
        try:
            _set_up(connection)
            if not is_new:
                _check(connection, file)
                _migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def explained(file: Path | str) -> Iterator[None]:
    """Turn any error of reading the database into EngineStartError, with a remedy."""
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
        raise unusable(Path(file), error) from error


def unusable(file: Path, error: Exception) -> EngineStartError:
    """Return the error of a database file that cannot be used, with a remedy."""
    code = _code(error)
    if code in _NO_ROOM:
        return EngineStartError(f"cannot write {file}: {error}", remedy=FREE_SPACE)
    if code in _NOT_OURS_TO_WRITE:
        return EngineStartError(f"cannot write {file}: {error}", remedy=make_writable(file.parent))
    if code in _IN_USE:
        return EngineStartError(f"cannot use {file}: {error}", remedy="end the process that has it open")
    return EngineStartError(f"the engine's database {file} is damaged: {error}", remedy=start_empty(file))


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file is damaged."""
    return _code(error) in _DAMAGED


def start_empty(file: Path) -> str:
    """Return what to do with a damaged database."""
    from shlex import quote

    kept = quote(str(file.parent / "damaged"))
    return (
        f"`mkdir -p {kept} && mv {quote(str(file))}* {kept}` puts it aside; the engine then starts empty,"
        " and `reconciler apply` makes the machines again"
    )


def give_back(connection: sqlite3.Connection) -> bool:
    """Give some free pages back to the disk; return whether there are more."""
    [(free,)] = connection.execute("PRAGMA freelist_count")
    if free <= _PAGES_LEFT:
        return False
    # `execute` steps a statement without columns only once, which gives back one page; a script runs to its end.
    connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
    if free > _PAGES_LEFT + _PAGES_AT_ONCE:
        return True
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return False


def _make(file: Path) -> None:
    """Create the file under a temporary name, and rename it when it is complete.

    An empty file under the real name is then always one that has lost its content. It is synced once, when it is
    complete, and not at each of its statements.
    """
    made = file.with_name(f"{file.name}.new")
    for stale in (made, *(Path(f"{path}{suffix}") for path in (file, made) for suffix in _BESIDE)):
        stale.unlink(missing_ok=True)  # SQLite would apply the -wal of another file to this one
    with closing(sqlite3.connect(made, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        _migrate(connection)
    with made.open("rb") as complete:
        os.fsync(complete.fileno())
    made.replace(file)


def _connected(database: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(str(database), isolation_level=None, check_same_thread=False)


def _check(connection: sqlite3.Connection, file: Path) -> None:
    """Check that the file is an engine's, of a known version, and not damaged.

    Nothing is written before that.
    """
    version = _version(connection)
    if version > VERSION:
        raise EngineStartError(
            f"{file} was written by a newer version of this tool: its format is {version}, and this one reads up to"
            f" {VERSION}",
            remedy=f"upgrade machines-reconciler as you installed it, or {ANOTHER_HOME}",
        )
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables >= _TABLES:
        raise sqlite3.DatabaseError("its tables are not those of an engine")
    [(found,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
    if found != "ok":
        raise sqlite3.DatabaseError(str(found))


def _set_up(connection: sqlite3.Connection) -> None:
    """Set what is not part of the file."""
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES_KEPT}")


def _migrate(connection: sqlite3.Connection) -> None:
    """Migrate the file to the current version.

    It always writes: a full disk then shows at the start.
    """
    connection.execute(f"PRAGMA auto_vacuum={_INCREMENTAL}")
    [(is_set,)] = connection.execute("PRAGMA auto_vacuum").fetchall()
    connection.execute("PRAGMA journal_mode=WAL")
    with transaction(connection):
        for statements in _MIGRATIONS[_version(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={VERSION}")
    if is_set != _INCREMENTAL:
        connection.execute("VACUUM")  # once, for an old file: the setting applies to the whole file


def _version(connection: sqlite3.Connection) -> int:
    [(version,)] = connection.execute("PRAGMA user_version").fetchall()
    return int(version)


def _code(error: Exception) -> int | None:
    """Return SQLite's primary result code; None for an error that is not SQLite's."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


class transaction:  # noqa: N801 - used as a function, as contextlib's own are
    """Run a block in a transaction.

    The connection's own context manager leaves a failed commit open.
    """

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
