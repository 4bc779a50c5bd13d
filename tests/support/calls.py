"""Calls of the API by the short names of docs/explanation/performance.md."""

import re
from typing import Final

from tests.support.faults import shape

NAMES: Final = (
    ("POST /apps", "POST app"),
    ("GET /apps/*", "GET app"),
    ("GET /apps/*/machines", "LIST"),
    ("POST /apps/*/machines", "CREATE"),
    ("GET /apps/*/machines/*", "GET"),
    ("POST /apps/*/machines/*", "UPDATE"),
    ("DELETE /apps/*/machines/*", "DELETE"),
    ("POST /apps/*/machines/*/lease", "LEASE"),
    ("DELETE /apps/*/machines/*/lease", "RELEASE"),
    ("GET /apps/*/machines/*/wait", "WAIT"),
    ("POST /apps/*/machines/*/start", "START"),
    ("POST /apps/*/machines/*/metadata", "META"),
    ("GET /apps/*/machines/*/versions", "GET versions"),
    ("GET /apps/*/ip_assignments", "GET IPs"),
    ("POST /apps/*/ip_assignments", "POST IP"),
    ("DELETE /apps/*", "DELETE app"),
    ("GET /apps/*/volumes", "GET volumes"),
    ("GET /apps/*/certificates", "GET certificates"),
    ("GET /apps/*/secrets", "GET secrets"),
    ("POST /platform/placements", "ROOM"),
    ("POST /apps/*/machines/*/stop", "STOP"),
    ("GET /apps/*/machines/*/events", "EVENTS"),
    ("GET /api/v1/apps/*/logs", "LOGS"),
    ("GET /platform/regions", "REGIONS"),
    ("GET /tokens/current", "TOKEN"),
)


def spelled(request: str) -> str:
    """The name of a request that a transport has listed."""
    shaped = re.sub(r"/metadata/.*", "/metadata", shape(request))
    return dict(NAMES)[shaped]
