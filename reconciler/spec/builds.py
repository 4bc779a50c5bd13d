"""Read `build:` of an app or pool: what the image is made from, and its name."""

import hashlib
import json
from typing import Final

from reconciler.model.image import FLY_REGISTRY
from reconciler.model.spec import Build
from reconciler.spec.yaml_nodes import Map, Node, Scalar, is_null

_TAG_DIGITS: Final = 8


def parse_build(node: Node | None) -> Build | None:
    """Return the build of a node of the right shape: a context, or a map."""
    if isinstance(node, Scalar):
        return Build(context=node.text)
    if not isinstance(node, Map):
        return None
    args = node.get("args")
    return Build(
        context=_text(node.get("context")) or ".",
        dockerfile=_text(node.get("dockerfile")) or "Dockerfile",
        target=_text(node.get("target")) or None,
        args={name: _text(entry.value) for name, entry in args.items() if not is_null(entry.value)}
        if isinstance(args, Map)
        else {},
    )


def image_of_build(build: Build, app: str) -> str:
    """Return the image in the app's own repository of Fly's registry.

    Its tag tells an app's builds apart. It does not follow the content: the digest says which image it is.
    """
    parts = json.dumps([build.context, build.dockerfile, build.target])
    return f"{FLY_REGISTRY}/{app}:build-{hashlib.sha256(parts.encode()).hexdigest()[:_TAG_DIGITS]}"


def _text(node: Node | None) -> str:
    return node.text if isinstance(node, Scalar) else ""
