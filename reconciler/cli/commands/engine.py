"""`reconciler engine run|start|stop|status|env|open`: the local engine, by hand.

`conform` is in a file of its own.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from reconciler.cli.commands import conform
from reconciler.cli.ui import console, streams
from reconciler.cli.ui.options import shared, shared_options
from reconciler.cli.ui.values import Count
from reconciler.engine_home import engine_home
from reconciler.errors import TargetError

_TIMEOUT_S = 5.0
_SHELLS = ("sh", "fish")  # as in engine.server.shell, which `--help` does not import
F = TypeVar("F", bound=Callable[..., Any])


@click.group("engine")
def command() -> None:
    """Run the local engine: the Machines API on loopback, with real commands."""


command.add_command(conform.command)


def _engine_options(function: F) -> F:
    """Add the options that `run` and `start` have in common."""
    options = [
        click.option(
            "--runtime",
            type=click.Choice(["process", "container"]),
            envvar="RECONCILER_RUNTIME",
            help="Whether commands run on this host, or in containers of their images. [default: process]",
        ),
        click.option("--latency", type=click.Choice(["none", "small", "fly"]), help="How slow it is. [default: small]"),
        click.option("--adversity", type=click.Path(path_type=Path), metavar="FILE", help="What is to go wrong."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@command.command("run")
@_engine_options
@click.option("--port", type=Count(0, 65535), default=0, metavar="PORT", help="0 takes a free one.")
@shared_options
def run(runtime: str | None, latency: str | None, adversity: Path | None, port: int, **_values: object) -> int:
    """Run the engine in the foreground, until Ctrl-C."""
    import signal

    from reconciler.cli.quick_start import not_started
    from reconciler.engine.errors import EngineStartError
    from reconciler.engine.server.serve import run_engine

    try:
        with streams.current().outlasted(lambda: signal.raise_signal(signal.SIGTERM)):
            run_engine(
                engine_home(os.environ),
                runtime=runtime or "process",
                port=port,
                latency=latency,
                fault_file=adversity,
                ready=lambda status: console.say(f"the engine serves {status.url}; Ctrl-C ends it"),
            )
    except EngineStartError as error:
        raise not_started(error) from error
    return 0


@command.command("start")
@_engine_options
@shared_options
def start(runtime: str | None, latency: str | None, adversity: Path | None, **_values: object) -> int:
    """Start the engine in the background, unless it runs."""
    from reconciler.cli.quick_start import not_started, started_line
    from reconciler.engine.errors import EngineStartError
    from reconciler.engine.server.daemon import engine_status, start_engine

    home = engine_home(os.environ)
    extra: tuple[str, ...] = ("--latency", latency) if latency else ()
    extra += ("--adversity", str(adversity.absolute())) if adversity else ()
    if extra and engine_status(home).running:
        raise TargetError("the engine runs already, without these options", hint="`reconciler engine stop` first")
    try:
        status = start_engine(home, runtime=runtime or "process", extra=extra)
    except EngineStartError as error:
        raise not_started(error) from error
    if runtime and status.runtime != runtime:
        why = f"the engine runs already, with the {status.runtime} runtime and not {runtime}"
        raise TargetError(why, hint="`reconciler engine stop` first")
    console.say(started_line(status))
    return 0


@command.command("stop")
@shared_options
def stop(**_values: object) -> int:
    """Stop the engine and the commands that it runs. Its machines stay on record."""
    from reconciler.engine.errors import EngineStartError
    from reconciler.engine.server.daemon import stop_engine

    try:
        was_running = stop_engine(engine_home(os.environ))
    except EngineStartError as error:
        raise TargetError(str(error), hint=error.remedy) from error
    console.say("the engine has stopped" if was_running else "the engine was not running")
    return 0


@command.command("open")
@shared_options
def open_page(**_values: object) -> int:
    """Open the engine's page in a browser: machines, runs and logs; start and stop."""
    import webbrowser

    from reconciler.engine.errors import EngineStartError
    from reconciler.engine.server.daemon import engine_status
    from reconciler.engine.server.open_page import write_redirect_page

    home = engine_home(os.environ)
    found = engine_status(home)
    if not found.running or not found.url:
        raise TargetError("the engine does not run", hint="`reconciler engine start` starts it")
    try:
        page = write_redirect_page(home, found.url)
    except EngineStartError as error:
        raise TargetError(str(error), hint=error.remedy) from error
    if not webbrowser.open(page.as_uri()):
        console.say(f"no browser opens here: the page is {found.url}/ and asks for the token in {found.token_file}")
    return 0


@command.command("env")
@click.option("--shell", type=click.Choice(_SHELLS), default="sh", help="For which shell. [default: sh]")
@click.option("--unset", "is_unset", is_flag=True, help="Print statements that unset the variables.")
@shared_options
def env(shell: str, is_unset: bool, **_values: object) -> int:
    """Print the variables that lead flyctl and other clients to the running engine.

    eval "$(reconciler engine env)" sets them; in fish: reconciler engine env --shell fish | source. They hold the
    engine's token. The engine has another address after each start.
    """
    import sys

    from reconciler.engine.errors import EngineStartError
    from reconciler.engine.server.daemon import engine_status, read_token
    from reconciler.engine.server.shell import client_variables, exports, removals

    if shared().is_json:
        raise click.UsageError("`engine env` prints shell statements: -o json is not for it")
    home = engine_home(os.environ)
    found = engine_status(home)
    if is_unset:
        text = removals(shell)
    elif not found.running or not found.url:
        raise TargetError("the engine does not run", hint="`reconciler engine start` starts it")
    else:
        try:
            text = exports(client_variables(found.url, read_token(home), home), shell)
        except EngineStartError as error:
            raise TargetError(str(error), hint=error.remedy) from error
    click.echo(text, file=streams.as_it_is(sys.stdout))  # the token is what was asked for
    return 0


@command.command("status")
@shared_options
def status(**_values: object) -> int:
    """Show whether the engine runs, and where. Ends 0 either way."""
    from reconciler.engine.server.daemon import engine_status

    home = engine_home(os.environ)
    found = engine_status(home)
    services = _services(home, found.url) if found.url else []
    if shared().is_json:
        document = found._asdict() | {"token_file": str(found.token_file) if found.token_file else None}
        console.print_json(document | {"services": services})
    elif found.running:
        by = f", by {found.container_host}" if found.container_host else ""
        rows = {"pid": found.pid, "runtime": f"{found.runtime}{by}", "token": found.token_file}
        console.print_text("\n".join([f"running at {found.url}", *(f"  {key:<8} {rows[key]}" for key in rows)]))
        for one in services:
            console.print_text(f"  serves   port {one['port']} of {one['app']} at {one['address']}")
    else:
        console.print_text("not running")
    return 0


def _services(home: Path, url: str) -> list[dict[str, Any]]:
    """Return where the engine serves each port; nothing if it does not answer."""
    import httpx

    from reconciler.engine.errors import EngineStartError
    from reconciler.engine.server.daemon import read_token

    try:
        headers = {"Authorization": f"Bearer {read_token(home)}"}
        reply = httpx.get(f"{url}/engine/services", headers=headers, timeout=_TIMEOUT_S, trust_env=False)
        return list(reply.raise_for_status().json())
    except (EngineStartError, ValueError, httpx.HTTPError):
        return []
