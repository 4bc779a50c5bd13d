"""Read a spec from a file, as the command does."""

from collections.abc import Mapping
from os import PathLike, fspath

from reconciler.model.spec import Spec
from reconciler.operations.load import SpecSource, load
from reconciler.tasks.arguments import environment_of


def load_spec(
    file: str | PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    target: str | None = None,
    app: str | None = None,
) -> Spec:
    """Return the spec of the file; without one of machines.yaml, here or up to the repository's root.

    `${VAR}` is taken from `environment`, which is the process's own where it is None. `target` is the name of the
    target that the spec is for, since the local one gets images in another way. `app` reduces the spec to one app.
    Raises SpecError with every error of the file, and UsageError where it cannot be read.
    """
    return load(
        SpecSource(
            environment=environment_of(environment),
            file=fspath(file) if file is not None else None,
            target=target,
            app=app,
        )
    )
