"""The command `reconciler`: find the verb, run it, and end with an exit code.

Whatever goes wrong becomes one message. The verbs are imported when they are called, and what shows an error when there
is one: `--help` and `invoke` must start fast.
"""

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.later_parts import importing_later
from reconciler.cli.lean_imports import PACKAGES
from reconciler.cli.ui.given import DEBUG, JSON, note_logs
from reconciler.cli.ui.options import shared_options
from reconciler.cli.ui.streams import Output, OutputError, flush, open_output

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

USAGE_EXIT_CODE: Final = 64
ERROR_EXIT_CODE: Final = 1
INTERRUPTED_EXIT_CODE: Final = 130
_COMPLETE: Final = "_RECONCILER_COMPLETE"  # as in ui.completion, which only a completion imports
_ENDED_WELL: Final = {0, 2}  # 2: --detailed-exitcode
INVOKE_ERROR_EXIT_CODE: Final = 125  # a task's own 1 must not be mistaken for ours


# Each is in the module of its name, with _ behind it where Python has that word for itself.
VERBS: Final = {
    "init": "Write a first machines.yaml.",
    "validate": "Check the spec, offline.",
    "import": "Print the spec of an app's live machines.",
    "plan": "Show what an apply would change.",
    "show": "Show a saved plan.",
    "apply": "Make the spec true, after asking.",
    "diff": "Show what changes between two specs, offline.",
    "drift": "Show what someone else changed.",
    "status": "Show pools, slots, states and last runs.",
    "invoke": "Run a task once; ends with the task's own exit code.",
    "runs": "List runs, with how they ended.",
    "wait": "Wait for a run; ends with the task's own exit code.",
    "logs": "Show the output of a run.",
    "cancel": "End a run.",
    "destroy": "Remove every machine that this stack owns.",
    "release": "Take the stack's marks off its machines, which go on.",
    "unlock": "Release leases of a dead process of yours.",
    "build": "Build and push the spec's images.",
    "engine": "The local engine: run, start, stop, status, env, open, conform.",
    "doctor": "Check what is set up and what is not, and say how to mend it.",
    "schema": "Print the JSON Schema of the spec or of a document.",
    "completion": "Print the script that completes words in your shell.",
    "version": "Show the version; with -v also where things are.",
    "help": "Show the help of a verb.",
}


class _Verbs(click.Group):
    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(name, help=text) for name, text in VERBS.items() if name.startswith(incomplete)]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        import importlib
        import keyword

        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command = importlib.import_module(f"reconciler.cli.commands.{module}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in VERBS:
            import difflib

            near = difflib.get_close_matches(name, VERBS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from reconciler.version import VERSION

    click.echo(f"reconciler {VERSION}")
    ctx.exit()


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show it.")
@shared_options
def cli(**_values: object) -> None:
    """Declarative Fly Machines for short-lived tasks.

    A YAML file declares apps, images and machine counts; plan shows what would change, apply changes it, and invoke
    runs a task on one of its machines. Start with: reconciler --target local plan
    """
    note_logs(click.get_current_context())


def main(failure: Exception | None = None) -> int:
    """Run the command line of this process, and return its exit code.

    `failure` is what has ended it before it came here.
    """
    if asked := os.environ.get(_COMPLETE):
        from reconciler.cli.ui.completion import complete

        return complete(cli, asked)
    return run(sys.argv[1:], failure)


def run(arguments: list[str], failure: Exception | None = None) -> int:
    """Run the command line `arguments`, and return its exit code."""
    with importing_later(PACKAGES), open_output() as output:
        return _run(arguments, output, failure)


def _run(arguments: list[str], output: Output, failure: Exception | None) -> int:
    context: click.Context | None = None
    code = 0
    try:
        try:
            if failure:
                raise failure
            context = cli.make_context("reconciler", list(arguments), obj=output)
            with context:
                ended = cli.invoke(context)
            code = ended if isinstance(ended, int) else 0
        except (Exception, KeyboardInterrupt) as error:
            code = _told(error, context, output, arguments)
        flush()
    except OutputError:
        pass  # it is kept
    if output.failure is None:
        return _error_code(_verb(context)) if output.is_short and code in _ENDED_WELL else code
    if why := output.why_incomplete():
        from reconciler.cli.ui.console import say

        with output.outlasted():
            say(why)
    return _error_code(_verb(context))


def _told(
    error: Exception | KeyboardInterrupt, context: click.Context | None, output: Output, arguments: list[str]
) -> int:
    """Show what ended a verb early, and return the exit code that it means."""
    if output.failure and isinstance(error, KeyboardInterrupt):
        return ERROR_EXIT_CODE
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.UsageError():
            from reconciler.cli.ui.errors import show_usage_error

            show_usage_error(error, USAGE_EXIT_CODE, arguments)
            return USAGE_EXIT_CODE
        case click.ClickException():
            error.show()
        case click.Abort() | EOFError() | KeyboardInterrupt():
            click.echo("interrupted", err=True)
            return INTERRUPTED_EXIT_CODE
        case _ if context and DEBUG in context.meta:
            import traceback

            traceback.print_exception(error)  # here, and not by the interpreter, which conceals no token
        case _:
            from reconciler.cli.ui.errors import show_failure

            show_failure(error)
            if context and context.meta.get(JSON) and not output.has_document:
                from reconciler.cli.ui.errors import print_failure

                print_failure(error, _error_code(_verb(context)))
    return _error_code(_verb(context))


def _verb(context: click.Context | None) -> str:
    """Return the verb that was parsed, never a word that only looks like one."""
    return (context.invoked_subcommand if context else None) or ""


def _error_code(verb: str) -> int:
    return INVOKE_ERROR_EXIT_CODE if verb in {"invoke", "wait"} else ERROR_EXIT_CODE
