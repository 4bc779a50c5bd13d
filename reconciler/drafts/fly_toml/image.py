"""Say by `image` or `build` where a fly.toml's image comes from."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from msgspec import Struct

from reconciler.drafts.fly_toml.patches import string_of, table_of
from reconciler.drafts.nodes import Draft, DraftMap, Template, flow
from reconciler.drafts.variables import Variables
from reconciler.model.image import parse_image

_BUILDERS: Final = ("builder", "buildpacks", "builtin", "compose")


class Place(Struct, frozen=True, kw_only=True):
    """Where an image is built: the context as seen from the spec, and what is there.

    `base` is the directory of the fly.toml, as seen from the context.
    """

    context: str = "."
    base: str = "."
    has_dockerfile: bool = True


def put_image(draft: DraftMap, build: Mapping[str, Any], app: str, variables: Variables, place: Place) -> list[str]:
    """Add `image` or `build` to the app's draft, and return what to report of it."""
    image = string_of(build.get("image"), "build.image")
    dockerfile = string_of(build.get("dockerfile"), "build.dockerfile")
    if image and _is_reference(image):
        draft.put("image", image)
        return []
    if not image and not dockerfile and any(build.get(key) for key in _BUILDERS):
        draft.say(
            "fly deploy builds it without a Dockerfile. To push such an image:\n"
            "fly deploy --build-only --push --image-label latest"
        )
        draft.put("image", Template(f"registry.fly.io/{app}:${{IMAGE_TAG:-latest}}"))
        return []
    problems = [f"build.image = {image}: it is no image's name"] if image else []
    if "://" in dockerfile:
        problems.append(f"build.dockerfile = {dockerfile}: this version takes a Dockerfile from here only")
        dockerfile = ""
    if not place.has_dockerfile and not dockerfile:
        problems.append("build: there is no Dockerfile here, and a build needs one")
    for problem in problems:
        draft.say(problem)
    file = str(PurePosixPath(place.base) / dockerfile) if dockerfile else ""
    draft.put("build", _build(build, file, app, variables, place.context))
    return problems


def _is_reference(image: str) -> bool:
    try:
        parse_image(image)
    except ValueError:
        return False
    return not any(one.isspace() for one in image)


def _build(build: Mapping[str, Any], dockerfile: str, app: str, variables: Variables, context: str) -> Draft:
    args = {
        name: variables.instead_of(string_of(value, f"build.args.{name}"), name=name, owner=app)
        for name, value in table_of(build.get("args"), "[build.args]").items()
    }
    target = string_of(build.get("build-target"), "build.build-target")
    more: dict[str, Any] = {
        key: value for key, value in {"dockerfile": dockerfile, "target": target, "args": args}.items() if value
    }
    return flow({"context": context, **more}) if more else context
