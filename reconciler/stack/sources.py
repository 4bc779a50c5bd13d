"""Read a spec or a saved plan from a file, as the command does."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath

from reconciler.model.plan import SavedPlan
from reconciler.model.spec import Spec
from reconciler.operations import saved_plans
from reconciler.operations.load import load
from reconciler.operations.spec_files import SpecSource
from reconciler.stack import arguments
from reconciler.tasks.arguments import check_text, environment_of
from reconciler.tasks.library_words import spoken_by


@spoken_by
def load_spec(
    file: str | PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    target: str | None = None,
    app: str | None = None,
    overlays: Sequence[str | PathLike[str]] = (),
    environment_name: str | None = None,
) -> Spec:
    """Return the spec of the file, by default of machines.yaml.

    That file is looked for here and in each directory above, up to the repository's root. `overlays` are files that lie
    over it, the last one on top. `environment_name`, by default what RECONCILER_ENVIRONMENT says, lays its own overlay
    over all of them. `${VAR}` is taken from `environment`, by default the process's own. `target` names the target that
    the spec is for: the local one gets images in another way. `app` reduces the spec to one app. Raises SpecError with
    every error of the files, and UsageError if one cannot be read.
    """
    arguments.check_overlays(overlays)
    if environment_name is not None:
        check_text("environment_name", environment_name)
    return load(
        SpecSource(
            environment=environment_of(environment),
            file=fspath(file) if file is not None else None,
            overlays=tuple(fspath(overlay) for overlay in overlays),
            environment_name=environment_name,
            target=target,
            app=app,
        )
    )


@spoken_by
def read_plan(file: str | PathLike[str]) -> SavedPlan:
    """Return the saved plan of the file. Raises UsageError."""
    return saved_plans.read_plan(file)
