"""An engine in process on virtual time, where hours take milliseconds.

Commands are scripts (see scripted.py); nothing runs on this host.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, Final, TypeVar

import httpx

from reconciler.engine.services.schedules import Schedules
from reconciler.engine.store.cleanup import Cleanup
from reconciler.testing.controller import EngineController
from reconciler.testing.fixture import EngineFixture
from reconciler.testing.scripted import ScriptedRuntime, parse_script
from reconciler.testing.transport import EngineTransport
from reconciler.testing.virtual_time import VirtualClock, VirtualLoop

T = TypeVar("T")
_DAY_S: Final = 86_400.0


class VirtualEngine(EngineFixture):
    """An empty engine on virtual time, as a context manager.

    Time passes only while everything waits. `transport` is for an httpx.AsyncClient of your own; `clock` has `now`,
    `monotonic` and `sleep`. The entry raises ValueError for an invalid setting.
    """

    url = "http://127.0.0.1"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._runtime = ScriptedRuntime()
        self._held = ExitStack()

    def __enter__(self) -> "VirtualEngine":
        with ExitStack() as held:
            self._runner = held.enter_context(asyncio.Runner(loop_factory=VirtualLoop))
            loop = self._runner.get_loop()
            assert isinstance(loop, VirtualLoop)
            self.clock: VirtualClock = VirtualClock(loop)
            self._controller = EngineController(runtime=self._runtime, clock=self.clock, settings=self._settings)
            schedules, cleanup = Schedules(self._controller.engine), Cleanup(self._controller.engine)
            self.run(_begin(self._controller, schedules, cleanup))
            held.callback(lambda: self.run(self._controller.close()))
            held.callback(lambda: self.run(cleanup.close()))
            held.callback(lambda: self.run(schedules.close()))
            self.transport: _BoundTransport = _BoundTransport(self._controller, self.token, loop)
            self.requests: list[str] = self.transport.requests
            held.callback(lambda: self.run(self.transport.aclose()))
            self._held = held.pop_all()
        return self

    def __exit__(self, *_reason: object) -> None:
        self._held.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine on the engine's loop, and return its result.

        Time goes on from one call to the next. Raises RuntimeError inside a running loop, and in a deadlock: where
        nothing can happen any more.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._runner.run(work)
        work.close()
        raise RuntimeError("a loop runs already: await it, with the client of async_client()")

    def client(self, **options: Any) -> httpx.Client:
        """Return a sync client, whose calls take virtual time.

        `options` are those of httpx.Client.
        """
        client = httpx.Client(transport=_SyncTransport(self), **self._client_options(options))
        return self._held.enter_context(client)

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """Return a client of `URL/v1` with the token, for code on the engine's loop.

        `options` are those of httpx.AsyncClient.
        """
        return httpx.AsyncClient(transport=_Unclosed(self.transport), **self._client_options(options))

    def script(self, text: str, *, machine: str = "*") -> None:
        """Let machines of matching names run this script instead of their command.

        For example `say hello run 3600 exit 3`. The last script given wins. Raises ValueError, which lists the known
        words.
        """
        self._runtime.script(parse_script(text), machine=machine)

    async def wait_for_state(self, app: str, machine: str, *states: str, timeout_s: float = _DAY_S) -> dict[str, Any]:
        """Return the machine (by id or name) once it is in one of the states.

        Raises TimeoutError, which says in which state it is instead.
        """
        return await self._controller.wait_for_state(app, machine, states, timeout_s)

    async def wait_for_log(self, app: str, text: str, *, machine: str | None = None, timeout_s: float = _DAY_S) -> str:
        """Return the first log line with the text in it, once there is one.

        Raises TimeoutError, which shows the log instead.
        """
        return await self._controller.wait_for_log(app, text, machine, timeout_s)

    def _call(self, do: Callable[[EngineController], T]) -> T:
        return do(self._controller)


async def _begin(controller: EngineController, schedules: Schedules, cleanup: Cleanup) -> None:
    schedules.start()
    cleanup.start()
    await controller.engine.start()


class _BoundTransport(EngineTransport):
    """The engine's transport; it refuses to be used on another loop."""

    def __init__(self, controller: EngineController, token: str, loop: VirtualLoop) -> None:
        super().__init__(controller.engine, token)
        self._loop = loop

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if asyncio.get_running_loop() is not self._loop:
            how = "write the test as `async def` without another plugin's mark, or use virtual_engine.run(…)"
            raise RuntimeError(f"the virtual engine is asked from another event loop than its own: {how}")
        return await super().handle_async_request(request)


class _Unclosed(httpx.AsyncBaseTransport):
    """A transport that stays open when its client is closed."""

    def __init__(self, inner: EngineTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._inner.handle_async_request(request)


class _SyncTransport(httpx.BaseTransport):
    """A transport for sync clients: run the engine's loop until the reply is there."""

    def __init__(self, engine: VirtualEngine) -> None:
        self._engine = engine

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._engine.run(self._replied(request))

    async def _replied(self, request: httpx.Request) -> httpx.Response:
        response = await self._engine.transport.handle_async_request(request)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())
