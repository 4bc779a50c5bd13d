"""`reconciler cancel RUN`: end a run by its stop signal, and by a kill if needed."""

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.options import Shared, shared, shared_options
from reconciler.cli.ui.session import load_spec, open_session, resolve
from reconciler.cli.ui.signals import run_async
from reconciler.cli.ui.values import Text
from reconciler.model.run import RunInfo, RunState
from reconciler.model.spec import Spec


@click.command("cancel")
@click.argument("run", type=Text(), shell_complete=completes("runs that go on"))
@shared_options
def command(run: str, **_values: object) -> int:
    """End RUN, and return once it has ended.

    First the stop signal is sent, and after the stop timeout the kill. Ends 0 if this ended the run, 1 if it was over
    already or cannot be found.
    """
    from reconciler.render.runs import outcome_text, run_info_json

    options = shared()
    spec = load_spec(options)
    info, was_running = run_async(_cancel(options, spec, run))
    is_seen = info.state is not RunState.RUNNING
    if options.is_json:
        console.print_json(run_info_json(info) | {"cancelled": was_running and is_seen})
    elif was_running and not is_seen and info.outcome:
        console.say(outcome_text(info.id, info.outcome))
    else:
        how = info.outcome.message if info.outcome else info.state.value
        console.say(f"{info.id}: {how}" if was_running else f"{info.id} was over already: {how}")
    return 0 if was_running and is_seen else 1


async def _cancel(options: Shared, spec: Spec, run_id: str) -> tuple[RunInfo, bool]:
    from reconciler.operations.named_runs import cancel_named_run

    async with open_session(options, resolve(options), console.say) as session:
        return await cancel_named_run(session.context, spec, run_id)
