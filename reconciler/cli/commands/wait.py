"""`reconciler wait RUN`: wait for the end of a run, and end with its exit code.

The run may have been started by anyone, from any machine.
"""

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.keepalive import Heartbeat
from reconciler.cli.ui.options import Shared, lost_after_option, shared, shared_options
from reconciler.cli.ui.session import load_spec, open_session, resolve
from reconciler.cli.ui.signals import run_async
from reconciler.cli.ui.state_line import may_show_state, show_end
from reconciler.cli.ui.task_output import keep_outcome
from reconciler.cli.ui.values import Text
from reconciler.model.run import RunInfo, RunState
from reconciler.model.spec import Spec

_NEVER_STARTED = 121


@click.command("wait")
@click.argument("run", type=Text(), shell_complete=completes("runs"))
@lost_after_option
@shared_options
def command(run: str, lost_after: float, **_values: object) -> int:
    """Wait until RUN has ended, and end with its exit code.

    A run past its recorded deadline is stopped.
    """
    options = shared()
    spec = load_spec(options)
    return finish(run_async(_wait(options, spec, run, lost_after_s=lost_after), outlasts_output=True), options)


def finish(info: RunInfo, options: Shared) -> int:
    """Show how the run ended, and return the exit code that it means."""
    from reconciler.render.runs import outcome_text, run_info_json

    is_whole = keep_outcome(info.id, info.outcome) if info.outcome else True
    if options.is_json:
        console.print_json(run_info_json(info))
    elif info.outcome is None:
        console.say(f"{info.id}: {info.state.value}")
    elif not is_whole:
        pass  # it is told with what is missing
    elif may_show_state(options):
        show_end(info, options)
    elif info.outcome.exit_code or options.verbosity:
        console.say(outcome_text(info.id, info.outcome, attempts=info.attempts))
    if info.outcome is None:
        return _NEVER_STARTED if info.state is RunState.NOT_STARTED else 0
    return info.outcome.exit_code


async def _wait(options: Shared, spec: Spec, run_id: str, *, lost_after_s: float) -> RunInfo:
    from reconciler.operations.named_runs import wait_named_run

    async with (
        Heartbeat(lambda: run_id) as beats,
        open_session(options, resolve(options), beats.heard(console.say)) as session,
    ):
        return await wait_named_run(session.context, spec, run_id, lost_after_s=lost_after_s)
