"""`reconciler doctor`: what is set up and what is not, and how to mend it."""

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import click

from reconciler.cli.ui import console, streams
from reconciler.cli.ui.options import Shared, shared, shared_options
from reconciler.cli.ui.session import debugging, open_session, source_of, with_stdin
from reconciler.cli.ui.signals import run_async

if TYPE_CHECKING:
    from reconciler.model.finding import Examination
    from reconciler.operations.session import Session
    from reconciler.targets import Target


@click.command("doctor")
@shared_options
def command(**_values: object) -> int:
    """Check what is set up and what is not, and say how to mend it.

    It looks at the spec, the token, the target, the spec's apps, registries, the builder, git, and the local engine.
    Nothing is started and nothing is changed. Each line is ok, warn, fail or skip, with what to type. Ends 1 if one
    failed, otherwise 0.
    """
    from reconciler.render.doctor import examination_json, examination_text

    options = shared()
    found = run_async(_examine(options))
    if options.is_json:
        console.print_json(examination_json(found))
    else:
        text = examination_text(found, color=console.is_coloured(options), width=console.line_width())
        console.print_text(text, is_safe=True)
    return 0 if found.is_healthy else 1


async def _examine(options: Shared) -> "Examination":
    from reconciler.cli.ui.threads import leave_threads_behind
    from reconciler.operations.doctor.examine import examine

    leave_threads_behind()

    def connect(target: "Target") -> AbstractAsyncContextManager["Session"]:
        streams.learn(target.token)
        return open_session(options, target, console.say)

    return await examine(with_stdin(source_of(options)), connect, debugging(options))
