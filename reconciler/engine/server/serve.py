"""Serve the engine on loopback until a signal stops it."""

import asyncio
import logging
import os
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from reconciler.clock import SystemClock
from reconciler.engine.engine import Engine
from reconciler.engine.errors import EngineStartError, cannot_use
from reconciler.engine.faults.config import load_fault_file
from reconciler.engine.faults.rules import FaultConfigError, FaultRules
from reconciler.engine.faults.settings import Settings
from reconciler.engine.http.app import create_engine_app
from reconciler.engine.runtime.select import make_runtime
from reconciler.engine.server import daemon
from reconciler.engine.server.daemon import EngineStatus
from reconciler.engine.services.background import BackgroundServices
from reconciler.engine.store.database import unusable
from reconciler.version import VERSION

_HOST: Final = "127.0.0.1"
_BACKLOG: Final = 512
_GRACE_S: Final = 2
# Longer than clients keep an idle connection (httpx 5 s, Go at most 90 s). If the server closed one just as a call is
# sent on it, the caller could not know whether the call was done.
_KEEP_ALIVE_S: Final = 120


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
            with suppress(KeyboardInterrupt):
                asyncio.run(_serve(home, token, listener, status, settings, faults, ready))
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
    listener.listen(_BACKLOG)
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
    status = replace(status, container_host=runtime.container_host)
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
    app = create_engine_app(engine, token=token, addresses=lambda: background.addresses)
    server = EngineServer(engine, app)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    try:
        await _begin(engine, background, database)
        daemon.write_status(home, status)
        if ready:
            ready(status)
        await server.serve(sockets=[listener])
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


class EngineServer(uvicorn.Server):
    """uvicorn, which ends the engine's long polls as soon as it is told to stop."""

    def __init__(self, engine: Engine, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_S,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        super().__init__(config)
        self._engine = engine

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers: ours are there.

        uvicorn's would raise the signal again before all runs have ended.
        """
        yield

    def stop(self) -> None:
        """Stop serving, and end the long polls."""
        self.should_exit = True
        self._engine.begin_close()
