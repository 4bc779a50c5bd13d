"""Show what went wrong as one message on stderr, with what to do next."""

from collections.abc import Iterable

import click
from msgspec.structs import replace

from reconciler.cli.ui.annotations import annotate, annotate_diagnostics
from reconciler.cli.ui.console import error_width, print_json, say
from reconciler.errors import BuildError, ReconcilerError, SpecError, words_of
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
