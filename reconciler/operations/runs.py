"""List the runs of a spec that are retained."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from reconciler.invoke.runs import FoundRun, list_runs
from reconciler.model.run import RunInfo, RunState
from reconciler.model.spec import Spec
from reconciler.slots.context import Context


class ListedRuns(Struct, frozen=True, kw_only=True):
    """Runs, newest first in each app.

    Also, in words, what could not be read, and machines whose hosts are down.
    """

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


def selected_runs(
    runs: Iterable[RunInfo], *, now: datetime, since: datetime | timedelta | None = None, only_failed: bool = False
) -> tuple[RunInfo, ...]:
    """Return the runs that began since then, and of those the failed ones.

    A timedelta is counted back from `now`. A run that goes on counts as begun since, whenever it was. A run that was
    claimed and never started has failed.
    """
    begun = now - since if isinstance(since, timedelta) else since
    return tuple(
        run for run in runs if (begun is None or _is_since(run, begun)) and (not only_failed or _has_failed(run))
    )


def _is_since(run: RunInfo, since: datetime) -> bool:
    return run.state is RunState.RUNNING or (run.started_at is not None and run.started_at >= since)


def _has_failed(run: RunInfo) -> bool:
    return run.state is RunState.NOT_STARTED or (run.outcome is not None and run.outcome.exit_code != 0)
