"""Say which version this is, and where it keeps and finds its things."""

import platform
from collections.abc import Mapping
from pathlib import Path

from reconciler.canonical.digest import SCHEME
from reconciler.engine_home import engine_home
from reconciler.errors import UsageError
from reconciler.model.about import About
from reconciler.operations.spec_files import SpecSource, find_spec, named_files
from reconciler.targets import name_of_target
from reconciler.version import VERSION


def about(source: SpecSource, environment: Mapping[str, str]) -> About:
    """Return what is known of this installation. No spec is read."""
    return About(
        version=VERSION,
        python=platform.python_version(),
        platform=platform.platform(),
        scheme=SCHEME,
        package=Path(__file__).parents[1],
        engine_home=engine_home(environment),
        target=name_of_target(environment, source.target),
        spec=_spec(source),
    )


def _spec(source: SpecSource) -> str | None:
    try:
        return next(iter(named_files(source)), None) or str(find_spec(source))
    except UsageError:
        return None
