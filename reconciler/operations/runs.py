"""List the retained runs of a whole spec."""

from dataclasses import dataclass

from reconciler.invoke.runs import FoundRun, list_runs
from reconciler.model.run import RunInfo
from reconciler.model.spec import Spec
from reconciler.slots.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRuns:
    """Runs, newest first in each app; in words what could not be read, and machines whose hosts are down."""

    runs: tuple[RunInfo, ...]
    failures: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()


async def list_all_runs(context: Context, spec: Spec, task: str | None = None) -> ListedRuns:
    """List the retained runs of the task, or of all tasks, in all apps of the spec.

    Raises what came in the way where no app can be read.
    """
    found, errors = list[FoundRun](), dict[str, Exception]()
    failures, unreachable = list[str](), list[str]()
    for app in spec.apps:
        try:
            found += await list_runs(
                context, app.name, stack=spec.stack, task=task, failures=failures, unreachable=unreachable
            )
        except Exception as error:
            errors[app.name] = error
    if errors and len(errors) == len(spec.apps):
        raise next(iter(errors.values()))
    failures += [f"app {name} cannot be read: {context.explain(error)}" for name, error in errors.items()]
    return ListedRuns(runs=tuple(run.info for run in found), failures=tuple(failures), unreachable=tuple(unreachable))
