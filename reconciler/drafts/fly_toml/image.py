"""Say by `image` or `build` where a fly.toml's image comes from."""

from collections.abc import Mapping
from typing import Any, Final

from reconciler.drafts.fly_toml.patches import string_of, table_of
from reconciler.drafts.nodes import Draft, DraftMap, Template, flow
from reconciler.drafts.variables import Variables
from reconciler.model.image import parse_image

_BUILDERS: Final = ("builder", "buildpacks", "builtin", "compose")


def put_image(
    draft: DraftMap, build: Mapping[str, Any], app: str, variables: Variables, *, context: str, has_dockerfile: bool
) -> None:
    """Add `image` or `build` to the app's draft.

    `context` is where a build is made from.
    """
    image = string_of(build.get("image"), "build.image")
    dockerfile = string_of(build.get("dockerfile"), "build.dockerfile")
    if image and _is_reference(image):
        draft.put("image", image)
    elif not image and not dockerfile and any(build.get(key) for key in _BUILDERS):
        draft.say(
            "fly deploy builds it without a Dockerfile. To push such an image:\n"
            "fly deploy --build-only --push --image-label latest"
        )
        draft.put("image", Template(f"registry.fly.io/{app}:${{IMAGE_TAG:-latest}}"))
    else:
        if image:
            draft.say("build.image of fly.toml is no image's name.")
        if not has_dockerfile and not dockerfile:
            draft.say("There is no Dockerfile here yet: a build needs one.")
        draft.put("build", _build(build, dockerfile, app, variables, context))


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
