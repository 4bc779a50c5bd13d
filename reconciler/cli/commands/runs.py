"""`reconciler runs [TASK]`: what ran, what runs, how it ended, and who started it."""

from datetime import UTC, datetime

import click

from reconciler.cli import spec_file
from reconciler.cli.connect import open_context, resolve
from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared, Text, shared, shared_options
from reconciler.cli.ui.signals import run_async
from reconciler.model.run import RunInfo
from reconciler.model.spec import Spec


@click.command("runs")
@click.argument("task", type=Text(), required=False)
@shared_options
def command(task: str | None, **_values: object) -> int:
    """List the runs of TASK, or of all tasks, newest first.

    They are read from the machines' own events and metadata, which keep some twenty for each machine. Ends 0 where all
    could be read.
    """
    from reconciler.cli.ui.errors import tell_failures
    from reconciler.render.runs import runs_json, runs_text

    options = shared()
    spec = spec_file.load(options)
    if task:
        spec_file.find_task(spec, task)
    unreachable: list[str] = []
    found, failures = run_async(_runs(options, spec, task, unreachable))
    if options.is_json:
        console.print_json(runs_json(found, failures, unreachable=unreachable))
    else:
        console.print_text(runs_text(found, now=datetime.now(UTC), width=console.width()))
    return tell_failures(failures)


async def _runs(
    options: Shared, spec: Spec, task: str | None, unreachable: list[str]
) -> tuple[list[RunInfo], list[str]]:
    """The runs, and in words what could not be read. Machines whose hosts are down are added to `unreachable`.

    Raises where no app can be read.
    """
    from reconciler.invoke.runs import FoundRun, list_runs

    found, failures, errors = list[FoundRun](), list[str](), dict[str, Exception]()
    async with open_context(options, resolve(options), console.say) as context:
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
    return [run.info for run in found], failures
