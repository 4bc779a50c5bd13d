"""`reconciler runs [TASK]`: list retained runs, who started them, how they ended."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.options import Shared, Text, shared, shared_options
from reconciler.cli.ui.session import load_spec_of_app, open_session, resolve
from reconciler.cli.ui.signals import run_async
from reconciler.model.spec import Spec
from reconciler.operations.load import find_task

if TYPE_CHECKING:
    from reconciler.operations.runs import ListedRuns


@click.command("runs")
@click.argument("task", type=Text(), required=False, shell_complete=completes("tasks"))
@shared_options
def command(task: str | None, **_values: object) -> int:
    """List the runs of TASK, or of all tasks, newest first.

    They are read from the machines' own events and metadata, which keep some twenty for each machine. Ends 0 where all
    could be read.
    """
    from reconciler.cli.ui.errors import tell_failures
    from reconciler.render.runs import runs_json, runs_text

    options = shared()
    spec = load_spec_of_app(options)
    if task:
        find_task(spec, task)
    found = run_async(_runs(options, spec, task))
    if options.is_json:
        console.print_json(runs_json(found.runs, found.failures, unreachable=found.unreachable))
    else:
        console.print_text(runs_text(found.runs, now=datetime.now(UTC), width=console.width()))
    return tell_failures(found.failures)


async def _runs(options: Shared, spec: Spec, task: str | None) -> "ListedRuns":
    from reconciler.operations.runs import list_all_runs

    async with open_session(options, resolve(options), console.say) as session:
        return await list_all_runs(session.context, spec, task)
