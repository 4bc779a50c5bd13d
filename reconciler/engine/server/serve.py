"""Serve the engine on loopback until a signal stops it."""

import asyncio
import logging
import os
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvloop

from reconciler.clock import SystemClock
from reconciler.engine.engine import Engine
from reconciler.engine.errors import EngineStartError, cannot_use
from reconciler.engine.faults.config import load_fault_file
from reconciler.engine.faults.rules import FaultConfigError, FaultRules
from reconciler.engine.faults.settings import Settings
from reconciler.engine.http.app import create_responder
from reconciler.engine.runtime.select import make_runtime
from reconciler.engine.server import daemon
from reconciler.engine.server.daemon import EngineStatus
from reconciler.engine.server.http_server import BACKLOG, EngineServer
from reconciler.engine.services.background import BackgroundServices
from reconciler.engine.store.database import unusable
from reconciler.version import VERSION

_HOST: Final = "127.0.0.1"


def run_engine(
    home: Path,
    *,
    runtime: str = "process",
    port: int = 0,
    latency: str | None = None,
    fault_file: Path | None = None,
    ready: Callable[[EngineStatus], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; call `ready` once calls are answered.

    Raises EngineStartError. `fault_file` is the file of `--adversity`. Files that the engine and its commands write are
    private.
    """
    try:
        settings, faults = load_fault_file(fault_file, latency=latency)
    except FaultConfigError as error:
        raise EngineStartError(str(error)) from error
    daemon.prepare_home(home)
    with _owner_only(), daemon.lock_home(home), listen(port) as listener:
        try:
            daemon.remove_status(home)  # of an engine that was killed: its port may belong to another process now
            token = daemon.ensure_token(home)
        except OSError as error:
            raise cannot_use(home, error) from error
        status = EngineStatus(
            running=True,
            url=f"http://{_HOST}:{listener.getsockname()[1]}",
            token_file=home / "token",
            pid=os.getpid(),
            runtime=runtime,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            version=VERSION,
        )
        try:
            with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(home, token, listener, status, settings, faults, ready))
        finally:
            daemon.remove_status(home)


@contextmanager
def _owner_only() -> Iterator[None]:
    """Make files that are written in the block private."""
    umask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(umask)


def listen(port: int) -> socket.socket:
    """Return a socket that listens on loopback; port 0 takes a free one.

    Raises EngineStartError.
    """
    # With IPPROTO_TCP asyncio turns Nagle's algorithm off, which would delay each reply by 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError as error:
        listener.close()
        remedy = "name another one with --port, or none: then a free one is taken"
        raise EngineStartError(f"cannot listen on port {port}: {error.strerror}", remedy=remedy) from error
    listener.listen(BACKLOG)
    return listener


async def _serve(
    home: Path,
    token: str,
    listener: socket.socket,
    status: EngineStatus,
    settings: Settings,
    faults: FaultRules,
    ready: Callable[[EngineStatus], None] | None,
) -> None:
    logging.basicConfig(level=logging.WARNING)
    runtime = await make_runtime(status.runtime or "process", home, os.environ)
    status = status._replace(container_host=runtime.container_host)
    database = home / "engine.db"
    engine = Engine(
        database=database,
        runtime=runtime,
        clock=SystemClock(),
        settings=settings,
        faults=faults,
        volumes=home / "volumes",
    )
    background = BackgroundServices(engine)
    respond = create_responder(engine, token=token, addresses=lambda: background.addresses)
    server = EngineServer(engine, respond)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    try:
        await _begin(engine, background, database)
        daemon.write_status(home, status)
        if ready:
            ready(status)
        await server.serve(listener)
    finally:
        daemon.remove_status(home)
        await background.close()
        await engine.close()


async def _begin(engine: Engine, background: BackgroundServices, database: Path) -> None:
    try:
        background.start()
        await engine.start()
    except sqlite3.Error as error:
        raise unusable(database, error) from error
