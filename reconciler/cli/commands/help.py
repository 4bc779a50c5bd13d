"""`reconciler help VERB`: the help of a verb, or of them all."""

import click

from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.options import shared_options
from reconciler.cli.ui.values import Text


@click.command("help")
@click.argument("words", metavar="[VERB]…", nargs=-1, type=Text(), shell_complete=completes("verbs"))
@shared_options
def command(words: tuple[str, ...], **_values: object) -> None:
    """Show the help of a verb, as `reconciler VERB --help` does."""
    context = click.get_current_context()
    assert context.parent is not None
    shown = context.parent
    for word in words:
        if not isinstance(shown.command, click.Group):
            raise click.UsageError(f"{shown.command_path} has no command {word!r}")
        _name, found, _rest = shown.command.resolve_command(shown, [word])
        assert found is not None  # else it is a usage error
        shown = click.Context(found, info_name=word, parent=shown, **found.context_settings)
    click.echo(shown.get_help())
