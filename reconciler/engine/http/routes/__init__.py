"""The routes: from a request to a call of the engine, and from what it gives to a reply.

They know paths and JSON; what a call does is the engine's. Every route has the name that rates and faults know it by.
"""

from typing import Final

from reconciler.engine.http.routes import apps, machines, organizations, platform, secrets, volumes
from reconciler.engine.http.routes.apps import LOGS
from reconciler.engine.http.routes.base import NONCE, Endpoint
from reconciler.engine.http.routes.platform import UNKNOWN, services_endpoint

__all__ = ["ENDPOINTS", "LOGS", "NONCE", "UNKNOWN", "Endpoint", "services_endpoint"]

# Served below /v1, and at the root for clients whose base URL has no version.
ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *apps.ENDPOINTS,
    *machines.ENDPOINTS,
    *volumes.ENDPOINTS,
    *secrets.ENDPOINTS,
    *organizations.ENDPOINTS,
    *platform.ENDPOINTS,
)
