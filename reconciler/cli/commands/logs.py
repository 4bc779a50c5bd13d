"""`reconciler logs RUN|TASK|SERVICE`: the output of one run, or of a service."""

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.keepalive import Heartbeat
from reconciler.cli.ui.options import Shared, lost_after_option, shared, shared_options
from reconciler.cli.ui.session import load_spec_of_app, open_session, resolve
from reconciler.cli.ui.signals import run_async
from reconciler.cli.ui.task_output import machine_printer, object_printer, printer
from reconciler.cli.ui.values import Text
from reconciler.errors import LogsIncompleteError
from reconciler.model.run import RunInfo, RunState
from reconciler.model.run_ids import may_be_run
from reconciler.model.spec import Spec


@click.command("logs")
@click.argument("run", type=Text(), metavar="RUN|TASK|SERVICE", shell_complete=completes("pools and runs"))
@click.option("--follow", is_flag=True, help="Go on until the run has ended; for a service until it is interrupted.")
@click.option("--timestamps", is_flag=True, help="Put its time before each line.")
@lost_after_option
@shared_options
def command(run: str, follow: bool, timestamps: bool, lost_after: float, **_values: object) -> int:
    """Show the output of RUN, or of the newest run of TASK, or of SERVICE.

    Ends 0 whatever the run's exit code is, 1 if lines are missing, 122 if a run that is followed is lost.

    If the platform started a run again, the output of each attempt is shown under its number. Of a SERVICE (or one of
    its machines, by name) the newest lines of each machine are shown, each behind the machine's name. With -o json each
    line is an object.
    """
    options = shared()
    spec = load_spec_of_app(options)
    return run_async(_logs(options, spec, run, follows=follow, with_times=timestamps, lost_after_s=lost_after))


async def _logs(options: Shared, spec: Spec, name: str, *, follows: bool, with_times: bool, lost_after_s: float) -> int:
    from reconciler.invoke.attach import read_run_logs, wait_run
    from reconciler.operations.named_runs import find_run_or_newest, seek_named_run
    from reconciler.operations.service_logs import find_service, read_service_logs

    target = resolve(options)
    beats = Heartbeat(lambda: name)
    async with beats, open_session(options, target, console.say) as session:
        context = session.context
        if service := find_service(spec, name):
            is_whole = await read_service_logs(
                context,
                spec,
                service,
                name,
                machine_printer(options, with_times=with_times),
                follows=follows,
                lost_after_s=lost_after_s,
            )
            return 0 if is_whole else 1
        if follows and may_be_run(name) and name not in {task.name for task in spec.tasks}:
            sought = await seek_named_run(context, spec, name, lost_after_s=lost_after_s)
            if isinstance(sought, RunInfo):
                return _let_go(sought)
            run = sought
        else:
            run = await find_run_or_newest(context, spec, name)
        in_text = printer(options, with_times=with_times)
        take = beats.heard(object_printer(run.info.id, run.machine) if options.is_json else in_text)
        if follows and run.info.state is RunState.RUNNING:
            problems: list[LogsIncompleteError] = []
            info = await wait_run(
                context,
                run,
                take_line=take,
                log_delay_s=target.log_delay_s,
                lost_after_s=lost_after_s,
                on_incomplete=problems.append,
            )
            if info.state is RunState.RUNNING and info.outcome:
                return _let_go(info)
            if problems:
                raise problems[0]
        else:
            await read_run_logs(context, run, take, log_delay_s=0.0)
        return 0


def _let_go(info: RunInfo) -> int:
    """Say that the run was lost, and return the exit code that this means."""
    from reconciler.render.runs import outcome_text

    assert info.outcome is not None
    console.say(outcome_text(info.id, info.outcome))
    return info.outcome.exit_code
