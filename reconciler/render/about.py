"""Show the version, and where things are, as text and as JSON."""

from typing import Any

from reconciler.model.about import About
from reconciler.render.redact import clean
from reconciler.render.style import FORMAT_VERSION


def about_text(found: About) -> str:
    """Show the version on a line, and what else a report should name."""
    rows = {
        "python": f"{found.python} on {found.platform}",
        "formats": f"{FORMAT_VERSION} of JSON documents, scheme {found.scheme} of the digests on machines",
        "package": found.package,
        "engine": found.engine_home,
        "target": found.target,
        "spec": found.spec or "none here",
    }
    return "\n".join(
        [f"reconciler {found.version}", *(f"  {name:<8} {clean(str(value))}" for name, value in rows.items())]
    )


def about_json(found: About) -> dict[str, Any]:
    """Return all of it."""
    return {
        "version": found.version,
        "python": found.python,
        "platform": found.platform,
        "scheme": found.scheme,
        "package": clean(str(found.package)),
        "engine_home": clean(str(found.engine_home)),
        "target": clean(found.target),
        "spec": clean(found.spec) if found.spec else None,
    }
