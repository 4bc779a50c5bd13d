"""Say where a plan holds: in the first line of each plan and prompt, and as JSON.

Also: where the apps of a stack are called.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from reconciler.model.scope import Scope
from reconciler.model.selection import Selection
from reconciler.render.redact import clean

_ORGS_NAMED: Final = 3


def scope_line(scope: Scope) -> str:
    """Return a line such as `Stack shop on Fly (org acme), spec machines.yaml`."""
    environment = f", environment {clean(scope.environment)}," if scope.environment else ""
    where = f" on {target_words(scope.target, scope.orgs)}" if scope.target else ""
    files = " + ".join(clean(file) for file in (scope.spec, *scope.overlays))
    spec = f"spec {files}" if scope.before is None else f"from {clean(scope.before)} to {files}"
    return f"Stack {clean(scope.stack)}{environment}{where}".rstrip(",") + f", {spec}"


def scope_members(scope: Scope | None) -> dict[str, Any]:
    """Return the members of a document that say where its plan holds."""
    if scope is None:
        return {}
    return {
        "target": scope.target and clean(scope.target),
        "orgs": [clean(org) for org in scope.orgs],
        "environment": scope.environment and clean(scope.environment),
        "spec": clean(scope.spec),
        "overlays": [clean(file) for file in scope.overlays],
    }


def target_words(target: str, orgs: Sequence[str]) -> str:
    """Return what people call the target; on Fly with the organisations."""
    match target:
        case "fly":
            named = [clean(org) for org in orgs[:_ORGS_NAMED]]
            if more := len(orgs) - len(named):
                named.append(f"{more} more")
            return f"Fly ({'org' if len(orgs) == 1 else 'orgs'} {', '.join(named)})" if named else "Fly"
        case "local":
            return "the local engine"
        case _:
            return clean(target)


def selection_json(selection: Selection) -> dict[str, list[str]]:
    """Return which part of the stack is meant; three empty lists for all of it."""
    return {
        "only": list(selection.only),
        "exclude": list(selection.exclude),
        "regions": list(selection.regions),
    }


def url_lines(urls: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Say where each app is called."""
    return [f"{clean(app)}: {', '.join(map(clean, found))}" for app, found in urls.items()]
