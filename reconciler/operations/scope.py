"""Find where a plan holds: the stack, the target and the spec."""

from reconciler.model.scope import Scope
from reconciler.model.spec import Spec
from reconciler.targets import Target


def scope_of(spec: Spec, target: Target | None, *, before: str | None = None) -> Scope:
    """Return where a plan of the spec holds; without a target, offline.

    A URL that the environment gives is a target of its own: only Fly's own API is called Fly. `before` is the file that
    a diff compares the spec with.
    """
    orgs = tuple(dict.fromkeys(app.org for app in spec.apps))
    where = name_of(target) if target else None
    return Scope(
        stack=spec.stack,
        spec=spec.file,
        overlays=spec.overlays,
        target=where,
        orgs=orgs,
        environment=spec.environment,
        before=before,
    )


def name_of(target: Target) -> str:
    """Return what a scope calls the target: fly, local, or the URL of its API."""
    from reconciler.machines_api.access import is_fly

    if target.name == "local":
        return "local"
    return "fly" if is_fly(target.base_url) else target.base_url
