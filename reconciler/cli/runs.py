"""`reconciler runs [TASK]`: what ran, what runs, how it ended, and who started it."""

from datetime import UTC, datetime

import click

from reconciler.cli import console, spec_file
from reconciler.cli.interrupt import run_async
from reconciler.cli.options import Shared, shared, shared_options
from reconciler.cli.target import open_actor, resolve
from reconciler.model.run import RunInfo
from reconciler.model.spec import Spec


@click.command("runs")
@click.argument("task", required=False)
@shared_options
def command(task: str | None, **_values: object) -> int:
    """List the runs of TASK, or of all tasks, newest first.

    They are read from the machines' own events and metadata, which keep some twenty for each machine.
    """
    from reconciler.render.runs import runs_json, runs_text

    options = shared()
    spec = spec_file.load(options)
    if task:
        spec_file.find_task(spec, task)
    found = run_async(_runs(options, spec, task))
    if options.is_json:
        console.print_json(runs_json(found))
    else:
        console.print_text(runs_text(found, now=datetime.now(UTC), width=console.width()))
    return 0


async def _runs(options: Shared, spec: Spec, task: str | None) -> list[RunInfo]:
    from reconciler.invoke.runs import list_runs

    async with open_actor(options, resolve(options), console.say) as actor:
        found = []
        for app in spec.apps:
            found += await list_runs(actor, app.name, stack=spec.stack, task=task)
    return [run.info for run in found]
