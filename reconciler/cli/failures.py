"""What went wrong, as one message on stderr: ours with what to do next, anything else with how to find out more."""

import click

from reconciler.cli.annotate import annotate, annotate_spec
from reconciler.cli.console import say
from reconciler.errors import BuildError, ReconcilerError, SpecError
from reconciler.render.diagnostics import diagnostics_text, error_text


def show_failure(error: Exception) -> None:
    """Tells of the error that ended a verb."""
    match error:
        case SpecError():
            click.echo(diagnostics_text(error.diagnostics, more=error.more), err=True)
            annotate_spec(error)
        case ReconcilerError():
            _show(error.message, error.hint)
            if isinstance(error, BuildError) and error.lines:
                say(error.lines)
        case OSError():
            _show(str(error), None)
        case _:
            say(f"error: unexpected {type(error).__name__}: {error}\n  run it again with --debug to see where")


def _show(message: str, hint: str | None) -> None:
    click.echo(error_text(message, hint), err=True)
    annotate((message,), hint=hint)
