"""The command `reconciler`: finds the verb, runs it, and turns whatever goes wrong into one message and an exit code.

The verbs are imported when they are called: `--help` and `invoke` must start fast.
"""

import importlib
import os
import sys
from typing import Final, NamedTuple

import click

from reconciler.cli.console import say
from reconciler.cli.options import shared_options
from reconciler.errors import BuildError, ReconcilerError, SpecError

USAGE_EXIT_CODE: Final = 64
ERROR_EXIT_CODE: Final = 1
INTERRUPTED_EXIT_CODE: Final = 130
_WRITING: Final = frozenset({"apply", "destroy"})
INVOKE_ERROR_EXIT_CODE: Final = 125  # a task's own 1 must not be mistaken for ours


class _Verb(NamedTuple):
    module: str
    summary: str


VERBS: Final = {
    "validate": _Verb("validate", "Check the spec, offline."),
    "plan": _Verb("plan", "Show what an apply would change."),
    "show": _Verb("show", "Show a saved plan."),
    "apply": _Verb("apply", "Make the spec true, after asking."),
    "diff": _Verb("diff", "Show what changes between two specs, offline."),
    "drift": _Verb("drift", "Show what someone else changed."),
    "status": _Verb("status", "Show pools, slots, states and last runs."),
    "invoke": _Verb("invoke", "Run a task once; ends with the task's own exit code."),
    "runs": _Verb("runs", "List runs, with how they ended."),
    "wait": _Verb("wait", "Wait for a run; ends with the task's own exit code."),
    "logs": _Verb("logs", "Show the output of a run."),
    "cancel": _Verb("cancel", "End a run."),
    "destroy": _Verb("destroy", "Remove every machine that this stack owns."),
    "unlock": _Verb("unlock", "Release leases of a dead process of yours."),
    "build": _Verb("build", "Build and push the spec's images."),
    "engine": _Verb("engine", "The local engine: run, start, stop, status."),
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        command = importlib.import_module(f"reconciler.cli.{verb.module}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        name = args[0]
        if name not in VERBS:
            near = difflib.get_close_matches(name, VERBS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value:
        return
    from importlib.metadata import version

    click.echo(f"reconciler {version('machines-reconciler')}")
    ctx.exit()


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show it.")
@shared_options
def cli(**_values: object) -> None:
    """Declarative Fly Machines for short-lived tasks.

    A YAML file declares apps, images and machine counts; plan shows what would change, apply changes it, and invoke
    runs a task on one of its machines. Start with: reconciler --target local plan
    """


def main() -> None:
    """The console script. Ends the process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of the command line `arguments`."""
    from_verb = next((word for word in arguments if word in VERBS), "")
    try:
        code = cli.main(args=arguments, prog_name="reconciler", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.UsageError as error:
        error.show()
        return USAGE_EXIT_CODE
    except click.ClickException as error:
        error.show()
        return _error_code(from_verb)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:
        _discard_output()
        if from_verb in _WRITING:
            say("error: nobody reads the output any more, so this ends here; run it again to go on")
        return _error_code(from_verb)
    except (ReconcilerError, OSError) as error:
        if "--debug" in arguments:
            raise
        _show(error)
        return _error_code(from_verb)
    except Exception as error:
        if "--debug" in arguments:
            raise
        say(f"error: unexpected {type(error).__name__}: {error}\n  run it again with --debug to see where")
        return _error_code(from_verb)


def _error_code(verb: str) -> int:
    return INVOKE_ERROR_EXIT_CODE if verb in {"invoke", "wait"} else ERROR_EXIT_CODE


def _show(error: ReconcilerError | OSError) -> None:
    from reconciler.cli.annotate import annotate, annotate_spec
    from reconciler.render.diagnostics import diagnostics_text, error_text

    if isinstance(error, SpecError):
        click.echo(diagnostics_text(error.diagnostics), err=True)
        annotate_spec(error)
        return
    message, hint = (error.message, error.hint) if isinstance(error, ReconcilerError) else (str(error), None)
    click.echo(error_text(message, hint), err=True)
    if isinstance(error, BuildError) and error.lines:
        say(error.lines)
    annotate((message,), hint=hint)


def _discard_output() -> None:
    """Keeps the interpreter from complaining about the closed pipe a second time at its exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
