"""`reconciler status`: show pools, machines and last runs. Never writes."""

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared, json_into_option, selection_options, shared, shared_options
from reconciler.cli.ui.session import load_spec, open_session, resolve
from reconciler.cli.ui.signals import run_async
from reconciler.cli.ui.values import Duration

if TYPE_CHECKING:
    from reconciler.cli.ui.watch import View
    from reconciler.model.spec import Spec
    from reconciler.operations.status import StackStatus
    from reconciler.targets import Target

_INTERVAL_S = 5.0
_SHORTEST_S = 1.0


@click.command("status")
@click.option("--watch", "is_watching", is_flag=True, help="Show it again and again on a terminal, until Ctrl-C.")
@click.option("--interval", type=Duration(), metavar="5s", help="How often --watch looks. [default: 5s]")
@json_into_option
@selection_options
@shared_options
def command(is_watching: bool, interval: float | None, **_values: object) -> int:
    """Show the pools: machines that are ready and that run, last runs, health, drift.

    With -v each machine is shown too. Ends 0 if everything could be read, otherwise 1. With --watch Ctrl-C ends it
    with 0, and while the target does not answer the last screen stays.
    """
    options = shared()
    if interval is not None and not is_watching:
        raise click.UsageError("--interval goes with --watch")
    if is_watching:
        _check_watch(options, interval)
    spec = load_spec(options)
    target = resolve(options)
    if is_watching:
        return _watched(options, spec, target, interval or _INTERVAL_S)
    found = run_async(_status(options, spec, target))
    if options.is_json or options.json_into is not None:
        _show_document(options, spec, target, found)
    if not options.is_json:
        text = _text(options, spec, target, found, now=datetime.now(UTC))
        console.print_text(text, is_safe=True)
    if not found.failures:
        return 0
    from reconciler.cli.ui.errors import tell_failures

    return tell_failures(found.failures)


def _show_document(options: Shared, spec: "Spec", target: "Target", found: "StackStatus") -> None:
    """Write the document where --json-into says, and print it with -o json."""
    from reconciler.cli.ui.side_files import write_document
    from reconciler.operations.scope import scope_of
    from reconciler.render.status import status_json

    document = status_json(
        found.slots,
        found.failures,
        found.urls,
        found.applied_revision,
        options.selection,
        scope=scope_of(spec, target),
    )
    write_document(options, document, reads=[spec.file])
    if options.is_json:
        console.print_json(document)


async def _status(options: Shared, spec: "Spec", target: "Target") -> "StackStatus":
    from reconciler.operations.status import status

    async with open_session(options, target, console.say) as session:
        return await status(session, spec, selection=options.selection)


def _text(options: Shared, spec: "Spec", target: "Target", found: "StackStatus", *, now: datetime) -> str:
    from reconciler.operations.scope import scope_of
    from reconciler.render.status import status_text

    return status_text(
        found.slots,
        now=now,
        color=console.is_coloured(options),
        width=console.line_width(),
        shows_machines=options.verbosity > 0,
        scope=scope_of(spec, target),
        applied=found.applied_revision,
        urls=found.urls,
    )


def _check_watch(options: Shared, interval: float | None) -> None:
    """Raise a usage error where a screen cannot be redrawn."""
    if options.is_json or options.json_into is not None:
        raise click.UsageError("--watch shows text; repeat `status -o json` instead")
    if not console.is_terminal(sys.stdout) or os.environ.get("TERM") == "dumb":
        raise click.UsageError("--watch redraws a terminal, and this is none; repeat `status` instead")
    if interval is not None and interval < _SHORTEST_S:
        raise click.UsageError(f"--interval is at least {_SHORTEST_S:g}s: the platform limits calls")


def _watched(options: Shared, spec: "Spec", target: "Target", interval_s: float) -> int:
    try:
        run_async(_watch(options, spec, target, interval_s), on_first=lambda: False)  # the first Ctrl-C cancels
    except KeyboardInterrupt:
        click.echo()  # the shell's prompt stands below the ^C
    return 0


async def _watch(options: Shared, spec: "Spec", target: "Target", interval_s: float) -> None:
    import shutil

    from reconciler.cli.ui.screen import Screen
    from reconciler.cli.ui.watch import Watch
    from reconciler.operations.status import status

    heard: list[Watch] = []

    def hear(line: str) -> None:
        heard[0].hear(line) if heard else console.say(line)

    async with open_session(options, target, hear) as session:
        watch = Watch(
            Screen(sys.stdout, shutil.get_terminal_size),
            session.context.clock,
            interval_s=interval_s,
            say=console.say,
        )
        heard.append(watch)

        async def read() -> "View":
            found = await status(session, spec, selection=options.selection)

            def view(now: datetime) -> list[str]:
                text = _text(options, spec, target, found, now=now)
                return [*text.split("\n"), *(console.harmless(f"error: {why}") for why in found.failures)]

            return view

        await watch.run(read)
