"""`reconciler engine conform URL`: test whether a server does what we assume."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click
from msgspec.structs import replace

from reconciler.cli.ui import console, streams
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.options import Shared, shared, shared_options, yes_option
from reconciler.cli.ui.values import Text

if TYPE_CHECKING:
    from reconciler.conformance.runner import Stop
    from reconciler.model.conformance import Conformance, ProbeResult
    from reconciler.operations.conform import Examination
    from reconciler.targets import Target

_IMAGE: Final = "busybox:stable"
_EVERY_S: Final = 30.0
_REFUSAL: Final = "pass --yes"


@click.command("conform")
@click.argument("url", metavar="URL", type=Text(), shell_complete=completes("targets"))
@click.option(
    "--org", type=Text(), default="personal", metavar="ORG", help="The organization that pays. [default: personal]"
)
@click.option("--region", type=Text(), metavar="REGION", help="Where the machines are. [default: the server's choice]")
@click.option(
    "--image", type=Text(), default=_IMAGE, metavar="IMAGE", help=f"It needs sh and sleep. [default: {_IMAGE}]"
)
@yes_option("Do not ask.")
@shared_options
def command(url: str, org: str, region: str | None, image: str, is_agreed: bool, **_values: object) -> int:
    """Test on a new app, --app NAME, whether the server at URL does what we assume.

    URL is that of a Machines API, or fly, or local. The app is deleted afterwards, also after Ctrl-C. Ends 0 if all
    that was tried holds, 1 if something differs, nothing could be tried, or something is left, 130 when interrupted.
    """
    from reconciler.cli.ui.signals import run_async
    from reconciler.conformance.runner import Stop

    options, stop = shared(), Stop()
    if not options.app:
        raise click.UsageError("pass --app NAME: the app to make, and to delete afterwards")
    if options.target not in {None, url}:
        raise click.UsageError(f"--target {options.target} does not go with {url}")
    if not is_agreed and not console.is_interactive():
        console.ask_typed("", "", refusal=_REFUSAL)
    work = _conform(options, url, org=org, region=region, image=image, is_agreed=is_agreed, stop=stop)
    found = run_async(work, on_first=_ending_well(stop), outlasts_output=True)
    if found is None:
        return 1
    _show(found, options)
    if found.is_interrupted:
        return 130
    return 0 if found.is_conforming else 1


async def _conform(
    options: Shared, url: str, *, org: str, region: str | None, image: str, is_agreed: bool, stop: "Stop"
) -> "Conformance | None":
    """Return what was found; None if the user said no."""
    from reconciler.cli.ui.session import resolve, tracing
    from reconciler.operations.conform import open_examination
    from reconciler.operations.scope import name_of
    from reconciler.render.scope import target_words

    assert options.app
    target = resolve(replace(options, target=url))
    async with open_examination(
        target,
        app=options.app,
        org=org,
        region=region,
        image=image,
        emit=console.say,
        trace=tracing(options),
    ) as examination:
        console.say(_cost(options.app, target.base_url, image))
        where = target_words(name_of(target), [org])
        question = f"Make the app {options.app} on {where}, and delete it again? Only yes is accepted:"
        if not is_agreed and not console.ask_typed(question, "yes", refusal=_REFUSAL):
            console.say("nothing was made")
            return None
        return await _examined(examination, target, options, stop)


async def _examined(examination: "Examination", target: "Target", options: Shared, stop: "Stop") -> "Conformance":
    """Run the probes. Say what is left if it is given up before it was deleted."""
    import asyncio

    loop, app = asyncio.get_running_loop(), examination.app

    def end_early() -> None:
        loop.call_soon_threadsafe(stop.interrupt)

    try:
        with streams.current().outlasted(end_early):
            found = await examination.run(stop, _progress(examination, options))
    except asyncio.CancelledError:
        if app.may_exist:
            console.say(f"left: the app {app.name}, with its machines\n  {_how_to_delete(app.name, target)}")
        raise
    if found.left:
        console.say(f"to delete what is left: {_how_to_delete(app.name, target)}")
    return found


def _cost(app: str, url: str, image: str) -> str:
    from reconciler.conformance.catalogue import AT_ONCE, MACHINES, MINUTES, PROBES

    return (
        f"{len(PROBES)} probes of {url}, on a new app {app}: about {MACHINES} machines of the smallest size"
        f" (at most {AT_ONCE} at a time) of {image}, about {MINUTES} machine-minutes; then all of it is deleted"
    )


def _progress(examination: "Examination", options: Shared) -> "Callable[[ProbeResult], None]":
    """Return a function that reports each result of a probe.

    It prints results that differ, with -v all of them, and now and then how many probes are done.
    """
    from reconciler.conformance.catalogue import PROBES
    from reconciler.model.conformance import Verdict

    clock = examination.lab.clock
    told_at, count = clock.monotonic(), 0

    def tell(result: "ProbeResult") -> None:
        nonlocal told_at, count
        count += 1
        if options.verbosity or result.verdict is Verdict.DIFFERS:
            console.say(f"{result.name}: {result.verdict.value}: {result.seen}")
        if clock.monotonic() - told_at >= _EVERY_S:
            told_at = clock.monotonic()
            console.say(f"{count} of {len(PROBES)} probes done")

    return tell


def _ending_well(stop: "Stop") -> Callable[[], bool]:
    """Return what the first Ctrl-C does: delete what was made.

    If nothing was made, the Ctrl-C ends the command.
    """

    def ask() -> bool:
        if not stop.has_begun:
            return False
        console.say("interrupted: deleting what was made; Ctrl-C again stops at once")
        stop.interrupt()
        return True

    return ask


def _how_to_delete(app: str, target: "Target") -> str:
    """Return the command line that deletes the app."""
    from shlex import quote

    if target.name == "fly":
        return f"fly apps destroy {quote(app)} --yes"
    by_hand = 'curl -X DELETE -H "Authorization: Bearer $FLY_API_TOKEN"'
    if target.name == "local":  # which has another URL after each start
        where = f'"$FLY_FLAPS_BASE_URL"{quote(f"/v1/apps/{app}?force=true")}'
        return f'reconciler engine start; (eval "$(reconciler engine env)"; {by_hand} {where})'
    return f"{by_hand} {quote(f'{target.base_url}/v1/apps/{app}?force=true')}"


def _show(found: "Conformance", options: Shared) -> None:
    from reconciler.render.conformance import conformance_json, conformance_text

    streams.current().result = "the probes were run, and what they made was deleted"
    if options.is_json:
        console.print_json(conformance_json(found))
        return
    shown = conformance_text(
        found, shows_all=bool(options.verbosity), color=console.is_coloured(options), width=console.line_width()
    )
    console.print_text(shown, is_safe=True)
