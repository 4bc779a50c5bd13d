"""The run that a user names: its id, or for some verbs a task, whose newest run is meant."""

from reconciler.cli import spec_file
from reconciler.errors import UsageError
from reconciler.invoke.runs import FoundRun, find_run, list_runs
from reconciler.model.spec import Spec
from reconciler.slots.actor import Actor


async def find_named_run(actor: Actor, spec: Spec, run_id: str) -> FoundRun:
    """The run of this id in any app of the spec. Raises UsageError."""
    if "/" not in run_id:
        raise UsageError(f"{run_id!r} is not a run's id", hint="ids are listed by `reconciler runs`")
    for app in spec.apps:
        found = await find_run(actor, app.name, run_id, stack=spec.stack)
        if found:
            return found
    raise UsageError(f"there is no run {run_id}, or it is no longer told of", hint="see `reconciler runs`")


async def find_run_or_newest(actor: Actor, spec: Spec, name: str) -> FoundRun:
    """The run of this id, or the newest one of the task of this name. Raises UsageError."""
    if "/" in name:
        return await find_named_run(actor, spec, name)
    task = spec_file.find_task(spec, name)
    runs = await list_runs(actor, task.app, stack=spec.stack, task=task.name)
    if not runs:
        raise UsageError(f"task {name} has no runs that are still told of")
    return runs[0]
