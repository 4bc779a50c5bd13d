"""Say what a plan builds, and when its hash holds after a merge."""

from collections.abc import Mapping
from typing import Any, Final

from reconciler.model.plan import ImageBuild, Plan
from reconciler.render.redact import clean

_DOCUMENT: Final = "https://github.com/OWNER/machines-reconciler/blob/main/docs/how-to/gitops.md"
MERGE_LINK: Final = f"{_DOCUMENT}#images-that-are-built-after-the-merge"


def build_words(build: ImageBuild) -> str:
    """Return the image that is to be built, by its content, and what of."""
    return f"{clean(build.image)}  (of {clean(build.context)}: by `apply --build`, or `reconciler build` before)"


def variables_words(plan: Plan) -> str | None:
    """Say on what the plan's hash depends after a merge; None if on no variable."""
    if not plan.image_variables:
        return None
    *others, last = map(clean, plan.image_variables)
    names, verb = (f"{', '.join(others)} and {last}", "name") if others else (last, "names")
    digests = "digests" if others else "digest"
    return f"matches after the merge only if {names} {verb} the same {digests}"


def image_members(plan: Plan) -> dict[str, Any]:
    """Return what a plan's JSON says of its images."""
    return {
        "builds": [{"app": one.app, "image": clean(one.image), "context": clean(one.context)} for one in plan.builds],
        "image_variables": [clean(name) for name in plan.image_variables],
    }


def parse_builds(document: Mapping[str, Any]) -> tuple[ImageBuild, ...]:
    """Read the images that a saved plan builds."""
    found = document.get("builds", ())
    return tuple(ImageBuild(app=one["app"], image=one["image"], context=one["context"]) for one in found)
