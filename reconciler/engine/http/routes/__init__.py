"""The routes: read a request, call a method of the engine, and return a reply.

They know paths and JSON; the engine knows what a call does. Each route has a name for rate limits and fault rules.
"""

from typing import Final

from reconciler.engine.http.routes import apps, machines, organizations, platform, volumes
from reconciler.engine.http.routes.apps import LOGS
from reconciler.engine.http.routes.base import NONCE, Endpoint
from reconciler.engine.http.routes.platform import UNKNOWN, services_endpoint

__all__ = ["ENDPOINTS", "LOGS", "NONCE", "UNKNOWN", "Endpoint", "services_endpoint"]

# Served below /v1, and at the root for clients whose base URL has no version.
ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *apps.ENDPOINTS,
    *machines.ENDPOINTS,
    *volumes.ENDPOINTS,
    *apps.SECRETS,
    *organizations.ENDPOINTS,
    *platform.ENDPOINTS,
)
