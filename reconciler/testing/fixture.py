"""What both fixtures offer besides the API: apps, faults, machines, logs."""

import secrets
from collections.abc import Callable
from typing import Any, Final, TypeVar

from reconciler.engine.faults.rules import Rule
from reconciler.testing.controller import EngineController

T = TypeVar("T")
_READ_TIMEOUT_S: Final = 70.0  # a wait call takes up to 60


class EngineFixture:
    """An empty engine. Keywords are those of the mark `engine_settings`.

    `url` has no `/v1`; each call needs `token`; `requests` lists all requests so far, like `POST /apps/work/machines`.
    None of the methods is a request: no fault strikes them, and `requests` does not list them.
    """

    url: str

    def __init__(self, **settings: Any) -> None:
        self.token: str = secrets.token_urlsafe(16)
        self.requests: list[str] = []
        self._settings = settings

    def create_app(self, name: str) -> None:
        """Create an app in the organization `personal`."""
        self._call(lambda controller: controller.create_app(name))

    def fault(self, fault: str, **details: Any) -> Rule:
        """Add a fault rule, by default for one strike, and return it.

        Its `struck` counts the strikes. `details` are `call`, `app`, `machine`, `image`, `request`, `after`, `times`,
        `seconds`, `committed`, `share`. Raises ValueError, which lists what is known.
        """
        return self._call(lambda controller: controller.fault(fault, details))

    def clear_faults(self) -> None:
        """Remove all fault rules."""
        self._call(lambda controller: controller.clear_faults())

    def machines(self, app: str) -> list[dict[str, Any]]:
        """Return the app's live machines as the API spells them, sorted by name."""
        return self._call(lambda controller: controller.machines(app))

    def logs(self, app: str, machine: str | None = None) -> list[str]:
        """Return the log lines of the app, or of one machine by id or name, oldest first."""
        return self._call(lambda controller: controller.logs(app, machine))

    def story(self) -> str:
        """Return requests, machines and last log lines, for the report of a failed test."""
        return "\n".join([*self.requests, self._call(lambda controller: controller.story())])

    def _call(self, do: Callable[[EngineController], T]) -> T:
        """Call the function with the engine's controller, on the engine's loop.

        Return its result.
        """
        raise NotImplementedError

    def _client_options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the options of an httpx client of this engine.

        Those given override them.
        """
        headers = {"Authorization": f"Bearer {self.token}"} | dict(given.get("headers", {}))
        defaults = {"base_url": f"{self.url}/v1", "timeout": _READ_TIMEOUT_S, "trust_env": False}
        return defaults | given | {"headers": headers}
