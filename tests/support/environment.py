"""The environment of a test that runs the command: without whatever this machine's own has for it."""

import os

import pytest

_OURS = (
    "FLY_",
    "RECONCILER_",
    "GITHUB_",
    "BUILDKITE",
    "CIRCLE",
    "DOCKER_",
    "CI",
    "XDG_RUNTIME_DIR",
    "REGISTRY_AUTH_FILE",
)


def clear_environment(patch: pytest.MonkeyPatch) -> None:
    """Takes away every variable that the command reads. No tag is looked up unless the test says so: registries are
    outside.
    """
    for name in [*os.environ]:
        if name.startswith(_OURS):
            patch.delenv(name)
    patch.setenv("RECONCILER_RESOLVE", "never")
