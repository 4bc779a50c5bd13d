"""`reconciler version`: the version, and with -v where things are."""

import os

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.options import shared, shared_options


@click.command("version")
@shared_options
def command(**_values: object) -> None:
    """Show the version. With -v also Python, the platform, and where files are found."""
    from reconciler.version import VERSION

    options = shared()
    if not (options.is_json or options.verbosity > 0):
        console.print_text(f"reconciler {VERSION}")
        return
    from reconciler.cli.ui.session import source_of
    from reconciler.operations.about import about
    from reconciler.render.about import about_json, about_text

    found = about(source_of(options), os.environ)
    if options.is_json:
        console.print_json(about_json(found))
    else:
        console.print_text(about_text(found))
