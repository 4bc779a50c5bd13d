"""Serve a live engine: an event loop in a thread, and a server on it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from reconciler.clock import SystemClock
from reconciler.engine.http.messages import Respond
from reconciler.engine.runtime.process import ProcessRuntime
from reconciler.engine.server.http_server import EngineServer
from reconciler.engine.services.background import BackgroundServices
from reconciler.testing.controller import EngineController

T = TypeVar("T")


class LoopInThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._main, args=(started,), name="engine", daemon=True)
        self._thread.start()
        self._loop = started.result()

    def _main(self, started: "Future[asyncio.AbstractEventLoop]") -> None:
        async def until_ended() -> None:
            self._ended = asyncio.Event()
            started.set_result(asyncio.get_running_loop())
            await self._ended.wait()

        asyncio.run(until_ended())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine on the loop, and return its result.

        The calling thread waits; an interrupt of it cancels the work.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()


class ServedEngine:
    """An engine with its server, on the running loop. `begin` makes one."""

    def __init__(
        self,
        controller: EngineController,
        background: BackgroundServices,
        server: EngineServer,
        task: "asyncio.Task[None]",
    ) -> None:
        self.controller = controller
        self._background = background
        self._server = server
        self._task = task

    @classmethod
    async def begin(
        cls,
        home: Path,
        settings: dict[str, Any],
        responder: Callable[[EngineController], Respond],
        listener: socket.socket,
    ) -> "ServedEngine":
        """Start an engine that serves; its machines have their files in `home`.

        Raises ValueError for invalid settings.
        """
        runtime, volumes = ProcessRuntime(home / "machines"), home / "volumes"
        controller = EngineController(runtime=runtime, clock=SystemClock(), settings=settings, volumes=volumes)
        background = BackgroundServices(controller.engine)
        background.start()
        await controller.engine.start()
        server = EngineServer(controller.engine, responder(controller))
        return cls(controller, background, server, asyncio.create_task(server.serve(listener)))

    async def end(self) -> None:
        """Stop serving, and end all that runs."""
        self._server.stop()
        await self._task
        await self._background.close()
        await self.controller.close()
