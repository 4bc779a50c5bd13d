"""Show a revision in JSON."""

from datetime import UTC, datetime
from typing import Any

from reconciler.model.revision import Revision


def revision_json(revision: Revision | None) -> dict[str, Any] | None:
    """Return its number, or its commit (12 digits) and the time of that (ISO 8601)."""
    if revision is None:
        return None
    is_number = revision.kind == "n"
    return {
        "number": revision.order if is_number else None,
        "commit": revision.commit or None,
        "time": None if is_number else datetime.fromtimestamp(revision.order, UTC).isoformat(),
    }
