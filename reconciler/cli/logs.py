"""`reconciler logs RUN|TASK`: the output of one run, and of that one only."""

import click

from reconciler.cli import console, spec_file
from reconciler.cli.heartbeat import Heartbeat
from reconciler.cli.interrupt import run_async
from reconciler.cli.options import Shared, shared, shared_options
from reconciler.cli.output import printer
from reconciler.cli.target import open_actor, resolve
from reconciler.model.spec import Spec


@click.command("logs")
@click.argument("run", metavar="RUN|TASK")
@click.option("--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--timestamps", is_flag=True, help="Put its time before each line.")
@shared_options
def command(run: str, follow: bool, timestamps: bool, **_values: object) -> int:
    """Show the output of RUN, or of the newest run of TASK. Ends 0, whatever the run's code."""
    options = shared()
    spec = spec_file.load(options)
    run_async(_logs(options, spec, run, follows=follow, with_times=timestamps))
    return 0


async def _logs(options: Shared, spec: Spec, name: str, *, follows: bool, with_times: bool) -> None:
    from reconciler.cli.find_run import find_run_or_newest
    from reconciler.invoke.runs import read_run_logs, wait_run

    target = resolve(options)
    beats = Heartbeat(lambda: name)
    take = beats.heard(printer(options, with_times=with_times))
    async with beats, open_actor(options, target, console.say) as actor:
        run = await find_run_or_newest(actor, spec, name)
        if follows:
            await wait_run(actor, run, take_line=take, log_delay_s=target.log_delay_s)
        else:
            await read_run_logs(actor, run, take, log_delay_s=0.0)
