"""`reconciler cancel RUN`: ends a run by its stop signal, and after the stop timeout by the kill."""

import click

from reconciler.cli import spec_file
from reconciler.cli.connect import open_context, resolve
from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared, Text, shared, shared_options
from reconciler.cli.ui.signals import run_async
from reconciler.model.run import RunInfo, RunState
from reconciler.model.spec import Spec


@click.command("cancel")
@click.argument("run", type=Text())
@shared_options
def command(run: str, **_values: object) -> int:
    """End RUN, and return once it has ended. Ends 0 where this did it, 1 where it was over already or is not seen."""
    from reconciler.render.run import outcome_text
    from reconciler.render.runs import run_info_json

    options = shared()
    spec = spec_file.load(options)
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
    from reconciler.cli.find_run import find_named_run
    from reconciler.invoke.attach import cancel_run, wait_run

    async with open_context(options, resolve(options), console.say) as context:
        run = await find_named_run(context, spec, run_id)
        was_running = await cancel_run(context, run)
        return await wait_run(context, run, was_stopped=was_running), was_running
