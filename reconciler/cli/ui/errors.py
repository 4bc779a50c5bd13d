"""Show what went wrong as one message on stderr, with what to do next."""

import re
from collections.abc import Iterable

import click
from msgspec.structs import replace

from reconciler.cli.ui.annotations import annotate, annotate_diagnostics
from reconciler.cli.ui.console import error_width, print_json, say
from reconciler.errors import BuildError, ReconcilerError, SpecError, UsageError, words_of
from reconciler.render.diagnostics import diagnostics_text, error_text, failure_json


def show_failure(error: Exception) -> None:
    """Show the error that ended a verb."""
    match error:
        case SpecError():
            click.echo(diagnostics_text(error.diagnostics, more=error.more, width=error_width()), err=True)
            annotate_diagnostics(error.diagnostics)
        case ReconcilerError() if error.at:
            found = replace(error.at, message=error.message, hint=error.hint)
            click.echo(diagnostics_text((found,), width=error_width()), err=True)
            annotate_diagnostics((found,))
        case ReconcilerError():
            _show(error.message, error.hint)
            if isinstance(error, BuildError) and error.lines:
                say(error.lines)
        case OSError():
            _show(words_of(error), None)
        case _:
            say(f"error: {words_of(error)}\n  run it again with --debug to see where")


def show_usage_error(error: click.UsageError, exit_code: int, arguments: list[str]) -> None:
    """Show what is wrong with the command line; as JSON too if it asks for that."""
    error.show()
    if _asks_for_json(arguments):
        command = error.ctx.command_path if error.ctx else "reconciler"
        print_failure(UsageError(error.format_message(), hint=f"see `{command} --help`"), exit_code)


def _asks_for_json(arguments: list[str]) -> bool:
    """Return whether -o json is among words of which click could not make options."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return bool(re.search(r"(^| )(--json|-o ?json|--output[ =]json)( |$)", " ".join(own)))


def print_failure(error: Exception, exit_code: int) -> None:
    """Print the error that ended a verb as the document of -o json."""
    print_json({"error": failure_json(error, exit_code)})


def tell_failures(failures: Iterable[str]) -> int:
    """Say what could not be read beside what a verb has shown.

    Return the exit code that this means.
    """
    code = 0
    for failure in failures:
        _show(failure, None)
        code = 1
    return code


def _show(message: str, hint: str | None) -> None:
    click.echo(error_text(message, hint, width=error_width()), err=True)
    annotate((message,), hint=hint)
