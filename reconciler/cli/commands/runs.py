"""`reconciler runs [TASK]`: list retained runs, who started them, how they ended."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.options import Shared, shared, shared_options
from reconciler.cli.ui.session import load_spec_of_app, open_session, resolve
from reconciler.cli.ui.signals import run_async
from reconciler.cli.ui.values import Duration, Text
from reconciler.model.spec import Spec
from reconciler.operations.load import find_task

if TYPE_CHECKING:
    from reconciler.operations.runs import ListedRuns
    from reconciler.targets import Target


class Since(click.ParamType[datetime | timedelta]):
    """A duration before now, days too, or a date or time, in UTC if it has no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime | timedelta:
        text = str(value)
        if text.endswith("d") and text[:-1].isascii() and text[:-1].isdigit() and len(text) < 6:
            return timedelta(days=int(text[:-1]))
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        try:
            return timedelta(seconds=Duration().convert(text, param, ctx))
        except click.UsageError:
            said = (
                f"{text!r} is neither a duration, such as 2h or 7d, nor a date, such as 2026-01-31 or 2026-01-31T12:00"
            )
            self.fail(said, param, ctx)


@click.command("runs")
@click.argument("task", type=Text(), required=False, shell_complete=completes("tasks"))
@click.option("--since", type=Since(), metavar="2h|DATE", help="Only runs that go on, or began since then (UTC).")
@click.option("--failed", "only_failed", is_flag=True, help="Only runs that failed, or never started.")
@shared_options
def command(task: str | None, since: datetime | timedelta | None, only_failed: bool, **_values: object) -> int:
    """List the runs of TASK, or of all tasks, newest first.

    They are read from the machines' own events and metadata, which keep some twenty for each machine. A terminal shows
    the beginnings of ids, which name the runs everywhere; -v and pipes get whole ids. Ends 0 where all could be read.
    """
    from reconciler.operations.runs import selected_runs
    from reconciler.render.runs import runs_json, runs_text

    options = shared()
    spec = load_spec_of_app(options)
    if task:
        find_task(spec, task)
    target = resolve(options)
    found, now = run_async(_runs(options, spec, target, task))
    runs = selected_runs(found.runs, now=now, since=since, only_failed=only_failed)
    if options.is_json:
        from reconciler.operations.scope import scope_of

        scope = scope_of(spec, target)
        console.print_json(runs_json(runs, found.failures, unreachable=found.unreachable, scope=scope))
    else:
        text = runs_text(
            runs,
            now=now,
            width=console.line_width(),
            color=console.is_coloured(options),
            shows_whole_ids=options.verbosity > 0,
            is_selection=since is not None or only_failed,
        )
        console.print_text(text, is_safe=True)
    if not found.failures:
        return 0
    from reconciler.cli.ui.errors import tell_failures

    return tell_failures(found.failures)


async def _runs(options: Shared, spec: Spec, target: "Target", task: str | None) -> "tuple[ListedRuns, datetime]":
    """Return the runs, and when they were read."""
    from reconciler.operations.runs import list_all_runs

    async with open_session(options, target, console.say) as session:
        return await list_all_runs(session.context, spec, task), session.context.clock.now()
