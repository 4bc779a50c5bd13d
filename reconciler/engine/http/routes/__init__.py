"""The routes: read a request, call a method of the engine, and return a reply.

They know paths and JSON; the engine knows what a call does. Each route has a name for rate limits and fault rules.
"""

from typing import Final

from reconciler.engine.http.routes import apps, machines, organizations, platform, volumes, web
from reconciler.engine.http.routes.apps import LOGS
from reconciler.engine.http.routes.base import NONCE, Endpoint
from reconciler.engine.http.routes.platform import UNKNOWN, services_endpoint
from reconciler.engine.http.routes.web import graphql_endpoint

__all__ = ["ENDPOINTS", "NONCE", "UNKNOWN", "WEB", "Endpoint", "graphql_endpoint", "services_endpoint"]

# Served below /v1, and at the root for clients whose base URL has no version.
ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *apps.ENDPOINTS,
    *machines.ENDPOINTS,
    *volumes.ENDPOINTS,
    *apps.SECRETS,
    *apps.ADDRESSES,
    *organizations.ENDPOINTS,
    *platform.ENDPOINTS,
)
# Served at the root only, as the platform's own web serves them.
WEB: Final[tuple[Endpoint, ...]] = (LOGS, *web.WEB)
