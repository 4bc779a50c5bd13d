"""A live engine: HTTP on loopback, from a thread, and commands that really run."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reconciler.engine.http.app import create_responder
from reconciler.engine.http.messages import Request, Respond, Response
from reconciler.engine.server.serve import listen
from reconciler.testing.controller import EngineController
from reconciler.testing.fixture import EngineFixture
from reconciler.testing.server_thread import LoopInThread, ServedEngine
from reconciler.testing.transport import listed

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
_WAIT_S: Final = 10.0


class LiveEngine(EngineFixture):
    """An empty engine, as a context manager.

    Its exit kills all that runs on its machines. Its entry raises ValueError for an invalid setting.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._held = ExitStack()

    def __enter__(self) -> "LiveEngine":
        with ExitStack() as held:
            home = held.enter_context(tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True))
            listener = held.enter_context(listen(0))
            self.url: str = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self._loop = LoopInThread()
            held.callback(self._loop.close)
            self._served = self._loop.run(ServedEngine.begin(Path(home), self._settings, self._responder, listener))
            held.callback(lambda: self._loop.run(self._served.end()))
            self._held = held.pop_all()
        return self

    def __exit__(self, *_reason: object) -> None:
        self._held.close()

    @property
    def environment(self) -> dict[str, str]:
        """Return FLY_FLAPS_BASE_URL, FLY_API_BASE_URL (for logs) and FLY_API_TOKEN."""
        return {"FLY_FLAPS_BASE_URL": self.url, "FLY_API_BASE_URL": self.url, "FLY_API_TOKEN": self.token}

    def client(self, **options: Any) -> "httpx.Client":
        """Return a client of `URL/v1` with the token.

        `options` are those of httpx.Client. It is closed with the engine.
        """
        import httpx

        return self._held.enter_context(httpx.Client(**self._client_options(options)))

    def wait_for_state(self, app: str, machine: str, *states: str, timeout_s: float = _WAIT_S) -> dict[str, Any]:
        """Return the machine (by id or name) once it is in one of the states.

        Raises TimeoutError, which says in which state it is instead.
        """
        return self._loop.run(self._served.controller.wait_for_state(app, machine, states, timeout_s))

    def wait_for_log(self, app: str, text: str, *, machine: str | None = None, timeout_s: float = _WAIT_S) -> str:
        """Return the first log line with the text in it, once there is one.

        Raises TimeoutError, which shows the log instead.
        """
        return self._loop.run(self._served.controller.wait_for_log(app, text, machine, timeout_s))

    def _call(self, do: Callable[[EngineController], T]) -> T:
        async def called() -> T:
            return do(self._served.controller)

        return self._loop.run(called())

    def _responder(self, controller: EngineController) -> Respond:
        answer = create_responder(controller.engine, token=self.token)

        async def respond(request: Request) -> Response:
            self.requests.append(listed(request.method, request.path))
            return await answer(request)

        return respond
