"""What both engines have: how a test sets the scene, and looks at what came of it, besides the API."""

import secrets
from collections.abc import Callable
from typing import Any, Final, TypeVar

from reconciler.engine.faults.rules import Rule
from reconciler.testing.controller import EngineController

T = TypeVar("T")
_READ_TIMEOUT_S: Final = 70.0  # the API parks a wait for up to 60


class EngineFixture:
    """An empty engine. `url` has no `/v1`; `token` is wanted by every call; `requests` lists what was asked so far, as
    in `POST /apps/work/machines`.

    None of its methods is a request: no fault strikes them, and `requests` does not hold them. Keywords are those of
    the mark `engine_settings`: `latency`, `behaviour`, `limits_rates`.
    """

    url: str

    def __init__(self, **settings: Any) -> None:
        self.token = secrets.token_urlsafe(16)
        self.requests: list[str] = []
        self._settings = settings

    def create_app(self, name: str) -> None:
        """Makes an app in the organization `personal`."""
        self._call(lambda controller: controller.create_app(name))

    def fault(self, fault: str, **details: Any) -> Rule:
        """Lets something go wrong: a rule of the engine's adversity, by default for one time.

        `details` are `call`, `app`, `machine`, `image`, `request`, `after`, `times`, `seconds`, `committed`, `share`.
        The rule's `struck` counts. Raises ValueError, which says what there is.
        """
        return self._call(lambda controller: controller.fault(fault, details))

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self._call(lambda controller: controller.clear_faults())

    def machines(self, app: str) -> list[dict[str, Any]]:
        """The app's machines that are not destroyed, as the API spells them, by name."""
        return self._call(lambda controller: controller.machines(app))

    def logs(self, app: str, machine: str | None = None) -> list[str]:
        """The lines that were printed in the app, or by one machine, by its id or name; oldest first."""
        return self._call(lambda controller: controller.logs(app, machine))

    def story(self) -> str:
        """What was asked, and each app's machines and last lines: what the report of a failed test shows."""
        return "\n".join([*self.requests, self._call(lambda controller: controller.story())])

    def _call(self, do: Callable[[EngineController], T]) -> T:
        """What the function gives for the engine's controller, called where that may be touched."""
        raise NotImplementedError

    def _client_options(self, given: dict[str, Any]) -> dict[str, Any]:
        """The options of an httpx client of this engine; what is given wins."""
        headers = {"Authorization": f"Bearer {self.token}"} | dict(given.get("headers", {}))
        defaults = {"base_url": f"{self.url}/v1", "timeout": _READ_TIMEOUT_S, "trust_env": False}
        return defaults | given | {"headers": headers}
