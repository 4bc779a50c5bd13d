"""What went wrong, as one message on stderr: ours with what to do next, anything else with how to find out more."""

import os
import sys

import click

from reconciler.cli.annotate import annotate, annotate_spec
from reconciler.cli.console import say
from reconciler.errors import BuildError, ReconcilerError, SpecError
from reconciler.render.diagnostics import diagnostics_text, error_text


def show_failure(error: Exception, *, is_writing: bool) -> None:
    """Tells of the error that ended a verb. `is_writing` where the verb changes machines."""
    match error:
        case BrokenPipeError():
            _discard_output()
            if is_writing:
                say("error: nobody reads the output any more, so this ends here; run it again to go on")
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


def _discard_output() -> None:
    """Keeps the interpreter from complaining about the closed pipe a second time at its exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
