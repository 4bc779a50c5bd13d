"""Start, stop and find the engine of a home, and keep the home's files.

Imports nothing heavy. A home is a directory (RECONCILER_HOME) with at most one engine. A file lock makes sure of that:
the kernel releases it when the engine ends, however it ends.
"""

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple
from urllib.parse import urlsplit

from reconciler.engine.errors import ANOTHER_HOME, EngineStartError, cannot_use
from reconciler.engine.server.spawn import ENGINE_LOG, see_log, spawn_engine, why_it_ended

_STATUS: Final = "engine.json"
_LOCK: Final = "engine.lock"
_TOKEN: Final = "token"
_POLL_S: Final = 0.02
_LOOK_S: Final = 0.1
_PROBE_S: Final = 0.3
_PRIVATE: Final = 0o077  # mode bits that no file of the home has
_ONCE_PUBLIC: Final = ("engine.db", "engine.db-wal", "engine.db-shm", _LOCK, ENGINE_LOG, _STATUS, "volumes", "machines")


class EngineStatus(NamedTuple):
    """Whether an engine runs, and where.

    `url` has no `/v1`; `container_host` is the address of Docker or Podman.
    """

    running: bool
    url: str | None = None
    token_file: Path | None = None
    pid: int | None = None
    runtime: str | None = None
    started_at: str | None = None
    version: str | None = None
    container_host: str | None = None


def engine_status(home: Path) -> EngineStatus:
    """Return the status of the home's engine."""
    if not is_locked(home):
        return EngineStatus(running=False)
    try:
        written: dict[str, Any] = json.loads((home / _STATUS).read_text())
        if not _is_alive(written["pid"]):
            return EngineStatus(running=False)  # it was killed, and a child still holds the lock
        return EngineStatus(
            running=True,
            url=written["url"],
            token_file=home / _TOKEN,
            pid=written["pid"],
            runtime=written["runtime"],
            started_at=written["started_at"],
            version=written["version"],
            container_host=written.get("container_host"),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return EngineStatus(running=False)  # it holds the lock, and does not answer yet


def start_engine(
    home: Path, *, runtime: str = "process", extra: tuple[str, ...] = (), timeout_s: float = 15
) -> EngineStatus:
    """Start the home's engine unless it runs, and return its status.

    `extra` are arguments for a new one. Raises EngineStartError.
    """
    status = engine_status(home)
    if status.running and _answers(status):
        return status
    prepare_home(home)
    process, told = spawn_engine(home, "--runtime", runtime, *extra)
    with told:
        deadline = time.monotonic() + timeout_s
        has_told = False
        while time.monotonic() < deadline:
            status = engine_status(home)
            if status.running and _answers(status):
                if status.pid == process.pid:
                    process.returncode = 0  # it outlives us: no warning about a child that still runs
                else:
                    _end_loser(process)
                return status
            if process.poll() is not None and not is_locked(home):
                raise why_it_ended(process, told, home)
            if has_told:
                time.sleep(_POLL_S)
            else:  # look now and then too: another one may have been faster
                has_told = bool(select.select([told], [], [], _LOOK_S)[0])
    raise EngineStartError(f"it did not answer within {timeout_s:g} s", remedy=see_log(home))


def stop_engine(home: Path, *, timeout_s: float = 20) -> bool:
    """Stop the home's engine, and wait for its end; return False where none ran.

    Raises EngineStartError.
    """
    status = engine_status(home)
    if not status.running or status.pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(status.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while is_locked(home):
        if time.monotonic() >= deadline:
            why = f"the engine (pid {status.pid}) did not end within {timeout_s:g} s"
            raise EngineStartError(why, remedy=f"`kill -9 {status.pid}` ends it; the next start ends what it ran")
        time.sleep(_POLL_S)
    return True


def read_token(home: Path) -> str:
    """Return the token of the home's engine.

    Raises EngineStartError where it cannot be read.
    """
    try:
        return (home / _TOKEN).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise EngineStartError(
            f"cannot read the token in {home / _TOKEN}: {why}",
            remedy="`reconciler engine stop`, remove that file, and try again",
        ) from error


def prepare_home(home: Path) -> None:
    """Create the home, and make it and its files private, whatever the umask.

    Raises EngineStartError. Files of earlier versions become private too. A directory that exists already keeps its
    mode: it may be anything.
    """
    try:
        for directory in reversed((home, *home.parents)):
            if not directory.exists():
                directory.mkdir(mode=0o700, exist_ok=True)
        (home / "machines").mkdir(exist_ok=True, mode=0o700)
        for name in _ONCE_PUBLIC:
            path = home / name
            if path.exists() and path.stat().st_mode & _PRIVATE:
                path.chmod(path.stat().st_mode & ~_PRIVATE)
    except OSError as error:
        raise cannot_use(home, error) from error


def lock_home(home: Path) -> IO[bytes]:
    """Take the lock until the file is closed or the process ends.

    Raises EngineStartError where it is taken.
    """
    try:
        lock = (home / _LOCK).open("ab")
    except OSError as error:
        raise cannot_use(home, error) from error
    deadline = time.monotonic() + _PROBE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except OSError as error:
            # Whoever checks whether an engine runs holds the lock for an instant too.
            if time.monotonic() >= deadline:
                lock.close()
                raise EngineStartError(
                    f"an engine runs already in {home}", remedy=f"`reconciler engine stop` ends it; or {ANOTHER_HOME}"
                ) from error
        time.sleep(_POLL_S)


def ensure_token(home: Path) -> str:
    """Return the home's token, and create one where there is none.

    Its file is private from the first byte on.
    """
    with suppress(EngineStartError):
        token = read_token(home)
        if token.isascii() and token.isprintable() and token:
            return token
    import secrets

    token = secrets.token_urlsafe(32)
    temporary = home / f"{_TOKEN}.{os.getpid()}"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(token + "\n")
    temporary.replace(home / _TOKEN)
    return token


def write_status(home: Path, status: EngineStatus) -> None:
    """Write where the engine is, atomically. Raises EngineStartError."""
    values = {
        "url": status.url,
        "pid": status.pid,
        "runtime": status.runtime,
        "started_at": status.started_at,
        "version": status.version,
        "container_host": status.container_host,
        "token_file": str(status.token_file),
    }
    temporary = home / f"{_STATUS}.{os.getpid()}"
    try:
        temporary.write_text(json.dumps(values))
        temporary.replace(home / _STATUS)
    except OSError as error:
        raise cannot_use(home, error) from error


def remove_status(home: Path) -> None:
    """Delete the home's status file."""
    (home / _STATUS).unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_locked(home: Path) -> bool:
    try:
        with (home / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False  # no lock file, or one that cannot be used: the start says so


def _end_loser(process: "subprocess.Popen[bytes]") -> None:
    """Kill our process where another was faster: it must not come up later."""
    process.kill()
    process.wait()


def _answers(status: EngineStatus) -> bool:
    parts = urlsplit(status.url or "")
    host: Any = (parts.hostname or "").encode()  # for text Python would import the codec of international names
    try:
        with socket.create_connection((host, parts.port or 0), timeout=1):
            return True
    except OSError:
        return False
