"""Recognise another tool's file that was given as a spec, and say what to do."""

import re
from typing import Final

from reconciler.spec.yaml_nodes import Map, Node

_INIT: Final = "`reconciler init` writes a first machines.yaml"
_FLY_TOML: Final = (
    "this is a fly.toml, and no spec",
    "`reconciler init`, in its directory, writes a machines.yaml from it",
)
_DOCKERFILE: Final = (
    "this is a Dockerfile, and no spec",
    "`reconciler init`, in its directory, writes a machines.yaml that builds it",
)
_COMPOSE: Final = (
    "this is a Compose file, and no spec",
    f"{_INIT}; each service becomes a pool there, with its `image`, `command` and `env`",
)
_KUBERNETES: Final = (
    "this is a manifest of Kubernetes, and no spec",
    f"{_INIT}; each container becomes a pool there, with its `image`, `command` and `env`",
)
_WORKFLOW: Final = ("this is a workflow of a pipeline, and no spec", f"name the spec with -f FILE; {_INIT}")
_PLAN: Final = (
    "this is a document that reconciler wrote, and no spec",
    "a saved plan is shown by `reconciler show FILE`, and applied by `reconciler apply FILE`",
)
_TREES: Final = (  # by the keys that such a file has, and a spec has not
    ({"format_version"}, _PLAN),
    ({"apiVersion", "kind"}, _KUBERNETES),
    ({"jobs", "on"}, _WORKFLOW),
    ({"services"}, _COMPOSE),
)
_A_SPEC: Final = r"(?m)^apps[ \t]*:"
_TABLE: Final = r"(?m)^\[\[?[\w.\"-]+\]\]?[ \t]*(#.*)?$"
_SETTING: Final = r"(?m)^[A-Za-z][\w-]*[ \t]*=[ \t]*\S"
_FROM: Final = r"(?i)\A(?:(?:#.*|[ \t]*|ARG .*)\n)*FROM[ \t]+\S"


def other_format_of_text(file: str, text: str) -> tuple[str, str] | None:
    """Return what the text is and what to do about it; None if it may be a spec."""
    if re.search(_A_SPEC, text):
        return None
    if file.endswith(".toml") or (re.search(_SETTING, text) and re.search(_TABLE, text)):
        return _FLY_TOML
    return _DOCKERFILE if re.match(_FROM, text) else None


def other_format_of_tree(root: Node) -> tuple[str, str] | None:
    """Return what the tree is and what to do about it; None if it may be a spec."""
    if not isinstance(root, Map) or "apps" in root.entries:
        return None
    return next((said for keys, said in _TREES if keys <= root.entries.keys()), None)
