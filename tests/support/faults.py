"""What may go wrong with any single request, and the engine in process with it."""

import re
from typing import Any

from reconciler.engine.engine import Engine
from reconciler.testing.transport import EngineTransport

# What may happen to any single request: a fault of the engine's adversity, and its details.
FAULTS: dict[str, dict[str, Any]] = {
    "connection refused": {"fault": "refuse_connection"},
    "reset before": {"fault": "lose_request"},
    "reset after": {"fault": "lose_reply"},
    "500 before": {"fault": "server_error"},
    "502 after": {"fault": "bad_gateway", "is_committed": True},
    "504 after": {"fault": "gateway_timeout", "is_committed": True},
    "408 after": {"fault": "upstream_timeout", "is_committed": True},
    "429": {"fault": "rate_limited"},
    "half a reply": {"fault": "half_reply"},
    "two minutes of silence": {"fault": "late_reply", "seconds": 120},
    "done two minutes later": {"fault": "late_request", "seconds": 120},
    "HTML after": {"fault": "html"},
    "503 before": {"fault": "unavailable"},
}


class InProcess(EngineTransport):
    """The engine in process, with one fault at a time."""

    def __init__(self, engine: Engine, token: str) -> None:
        super().__init__(engine, token)
        self.adversity = engine.adversity

    def strike(self, name: str, *, ahead: int) -> None:
        """Lets the fault of this name of FAULTS strike the request that comes `ahead` from now, 0 being the next."""
        self.adversity.rules.clear()
        self.adversity.add(request=self.adversity.requests + ahead, **FAULTS[name])

    def relent(self) -> None:
        """Nothing goes wrong any more."""
        self.adversity.rules.clear()


def shape(request: str) -> str:
    """The request without the ids in it: `POST /apps/*/machines/*/lease`."""
    return re.sub(r"(apps|machines)/[^/]+", r"\1/*", request)
