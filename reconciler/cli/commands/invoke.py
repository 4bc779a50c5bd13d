"""`reconciler invoke TASK`: run it once, stream output, end with its exit code."""

import os
import sys
from typing import TYPE_CHECKING

import click
from msgspec import Struct
from msgspec.structs import replace

from reconciler.cli.ui import console
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.keepalive import Heartbeat
from reconciler.cli.ui.options import Shared, lost_after_option, shared, shared_options
from reconciler.cli.ui.session import load_spec_of_app, open_session, resolve
from reconciler.cli.ui.signals import run_async
from reconciler.cli.ui.state_line import StateLine, may_show_state, show_end
from reconciler.cli.ui.task_output import keep_outcome, printer
from reconciler.cli.ui.values import Duration, NamedText, Text
from reconciler.errors import ReconcilerError, SpecError
from reconciler.model.run import Outcome, OutcomeName, Run

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from reconciler.invoke.invoke import InvokeOptions
    from reconciler.model.spec import Spec
    from reconciler.targets import Target

_ERROR_CODE = 125


@click.command("invoke")
@click.argument("task", type=Text(), shell_complete=completes("tasks"))
@click.argument("args", type=Text(), nargs=-1)
@click.option("-e", "--env", "env", multiple=True, metavar="K=V", help="Set a variable; K alone takes its value here.")
@click.option("--no-wait", is_flag=True, help="End once the run has started.")
@click.option("--on-busy", type=click.Choice(["wait", "fail", "skip"]), default="wait", show_default=True)
@click.option("--queue-timeout", type=Duration(), default="10m", metavar="10m", help="How long to wait for a machine.")
@click.option(
    "--start-timeout", type=Duration(), default="60s", metavar="60s", help="From claim to seen start, at most."
)
@click.option(
    "--timeout", type=Duration(may_be_zero=False), metavar="10m", help="Stop the run after this. [default: the spec's]"
)
@lost_after_option
@click.option(
    "--idempotency-key", type=NamedText(), metavar="K", help="Attach to the run that this key has, if it has one."
)
@click.option("--no-logs", is_flag=True, help="Do not show the task's output.")
@click.option("--timestamps", is_flag=True, help="Put its time before each line of the output.")
@click.option(
    "--on-interrupt",
    type=click.Choice(["ask", "detach", "cancel"]),
    default="ask",
    show_default=True,
    help="What Ctrl-C does to a run in progress; without a terminal ask is detach.",
)
@shared_options
def command(
    task: str,
    args: tuple[str, ...],
    env: tuple[str, ...],
    no_wait: bool,
    on_busy: str,
    queue_timeout: float,
    start_timeout: float,
    timeout: float | None,
    lost_after: float,
    idempotency_key: str | None,
    no_logs: bool,
    timestamps: bool,
    on_interrupt: str,
    **_values: object,
) -> int:
    """Run TASK once, on a free machine of its pool, and end with its exit code.

    ARGS, after --, replace the task's own args, and -e sets variables, where the spec's `overrides` allow it.

    Ours: 120 no free machine in time, 121 never started, 122 lost, 124 timed out, 125 anything else.
    """
    options = shared()
    state = StateLine(is_shown=may_show_state(options))
    state.show(f"{task}: starting…")  # before anything takes time
    from reconciler.invoke.invoke import InvokeOptions, OnBusy
    from reconciler.model.run_policy import Override

    invoke_options = InvokeOptions(
        on_busy=OnBusy(on_busy),
        queue_timeout_s=queue_timeout,
        start_timeout_s=start_timeout,
        timeout_s=timeout,
        lost_after_s=lost_after,
        is_waiting=not no_wait,
        key=idempotency_key,
        override=Override(args=args or None, env=tuple(_variable(text) for text in env)),
    )
    how = _How(shows_logs=not no_logs, with_times=timestamps, on_interrupt=on_interrupt, state=state)
    try:
        run = _run(options, task, invoke_options, how)
    except ReconcilerError as error:
        if not options.is_json:
            raise
        run = _refused(task, error)
    finally:
        state.erase()
    return _finish(run, options, prints_id=no_wait)


class _How(Struct, frozen=True, kw_only=True):
    """How the run's output is shown, and what Ctrl-C does to it."""

    shows_logs: bool
    with_times: bool
    on_interrupt: str
    state: StateLine


def _run(options: Shared, task: str, invoke_options: "InvokeOptions", how: _How) -> Run:
    """Invoke the task and return how the run ended.

    The first Ctrl-C stops following the run. The second prints what is known of it.
    """
    import asyncio

    stop, insisted = asyncio.Event(), asyncio.Event()

    def on_first() -> bool:
        how.state.erase()
        console.say("interrupted: letting go")
        stop.set()
        return True

    def on_second() -> bool:
        how.state.erase()
        console.say("interrupted again: telling what is known of the run; Ctrl-C once more ends this at once")
        insisted.set()
        return True

    work = _invoke(options, task, invoke_options, how, stop, insisted)
    return run_async(work, on_first=on_first, on_second=on_second, outlasts_output=True)


async def _invoke(
    options: Shared,
    task: str,
    invoke_options: "InvokeOptions",
    how: _How,
    stop: "asyncio.Event",
    insisted: "asyncio.Event",
) -> Run:
    from reconciler.operations.invoke import cancel_let_go, find_invocable, invoke

    spec = load_spec_of_app(options)
    pool = find_invocable(spec, task, invoke_options.override)
    target = resolve(options)
    beats = Heartbeat()
    emit = beats.heard(_teller(options, how.state))
    take_line = beats.heard(how.state.first(printer(options, with_times=how.with_times))) if how.shows_logs else None
    async with beats, open_session(options, target, emit) as session:
        invoke_options = replace(invoke_options, take_line=take_line)
        run = await invoke(session, pool, stack=spec.stack, options=invoke_options, stop=stop)
        is_let_go = stop.is_set() and run.outcome.name is OutcomeName.DETACHED
        if is_let_go and _is_to_be_cancelled(run, how.on_interrupt, spec, target):
            return await cancel_let_go(
                session.context, run, spec.stack, lost_after_s=invoke_options.lost_after_s, insisted=insisted
            )
        return run


def _variable(text: str) -> tuple[str, str]:
    """Parse `K=V`, or `K` for the value that the variable has here."""
    from reconciler.model.unicode import escaped, is_utf8

    name, equals, value = text.partition("=")
    if not is_utf8(name):
        raise click.BadParameter(f"'{escaped(name)}' is not UTF-8 text", param_hint="-e")
    if not name or not (equals or name in os.environ):
        why = f"{text!r} is neither K=V nor the name of a variable that is set here"
        raise click.BadParameter(why, param_hint="-e")
    value = value if equals else os.environ[name]
    if not is_utf8(value):
        raise click.BadParameter(f"the value of {name} is not UTF-8 text", param_hint="-e")
    return name, value


def _is_to_be_cancelled(run: Run, on_interrupt: str, spec: "Spec", target: "Target") -> bool:
    if on_interrupt == "ask" and console.is_interactive():
        from reconciler.operations.scope import scope_of
        from reconciler.render.scope import scope_line

        where = scope_line(scope_of(spec, target))
        question = f"{where}\n{run.id} goes on. Type cancel to end it, anything else to leave it:"
        try:
            return console.ask_typed(question, "cancel", refusal="")
        except click.Abort:
            return False
    return on_interrupt == "cancel"


def _teller(options: Shared, state: StateLine) -> "Callable[[str], None]":
    """Return what tells of progress.

    A start is no news in a pipe, and the state on a terminal. A wait or a problem is news.
    """

    def tell(line: str) -> None:
        is_start = line.endswith(": started")
        if is_start and state.is_shown and not options.verbosity:
            state.show(line)
        elif not is_start or options.verbosity or console.is_terminal(sys.stderr):
            state.erase()
            console.say(line)

    return tell


def _refused(task: str, error: ReconcilerError) -> Run:
    message = error.summary if isinstance(error, SpecError) else error.message
    outcome = Outcome(name=OutcomeName.REFUSED, exit_code=_ERROR_CODE, message=message, remedy=error.hint)
    return Run(task=task, app="", outcome=outcome)


def _finish(run: Run, options: Shared, *, prints_id: bool) -> int:
    """Show how the run ended, and return the exit code that it means.

    With `prints_id` the id of a run that goes on is printed to stdout.
    """
    is_whole = keep_outcome(run.id or run.task, run.outcome)
    if prints_id and run.id and not options.is_json and run.outcome.name is OutcomeName.DETACHED:
        console.print_text(run.id)
    if options.is_json:
        from reconciler.render.runs import run_json

        console.print_json(run_json(run))
    elif not is_whole:
        pass  # it is told with what is missing
    elif may_show_state(options):
        show_end(run, options)
    elif run.outcome.exit_code != 0 or run.outcome.name is not OutcomeName.SUCCEEDED or options.verbosity:
        from reconciler.render.runs import run_text

        console.say(run_text(run))
    return run.outcome.exit_code
