"""`reconciler status`: show machines, their states and last runs. Never writes."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared, json_into_option, selection_options, shared, shared_options
from reconciler.cli.ui.session import load_spec, open_session, resolve
from reconciler.cli.ui.side_files import write_document
from reconciler.cli.ui.signals import run_async
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.operations.status import StackStatus
    from reconciler.targets import Target


@click.command("status")
@json_into_option
@selection_options
@shared_options
def command(**_values: object) -> int:
    """Show pools, slots, states, last runs, restarts and failing checks.

    Ends 0 if everything could be read, otherwise 1.
    """
    from reconciler.cli.ui.errors import tell_failures
    from reconciler.operations.scope import scope_of
    from reconciler.render.report import url_lines
    from reconciler.render.status import status_json, status_text

    options = shared()
    spec = load_spec(options)
    target = resolve(options)
    found, scope = run_async(_status(options, spec, target)), scope_of(spec, target)
    rows = found.slots
    document = status_json(rows, found.failures, found.urls, found.applied_revision, options.selection, scope=scope)
    write_document(options, document, reads=[spec.file])
    if options.is_json:
        console.print_json(document)
    else:
        text = status_text(rows, now=datetime.now(UTC), color=console.is_coloured(options), width=console.width())
        applied = [f"Applied: {found.applied_revision.words}"] if found.applied_revision else []
        text = "\n".join([text, *applied, *url_lines(found.urls)])
        console.print_text(text, is_safe=True)
    return tell_failures(found.failures)


async def _status(options: Shared, spec: Spec, target: "Target") -> "StackStatus":
    from reconciler.operations.status import status

    async with open_session(options, target, console.say) as session:
        return await status(session, spec, selection=options.selection)
