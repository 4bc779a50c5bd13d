"""`reconciler engine run|start|stop|status`: the local engine, by hand."""

import os
from dataclasses import asdict

import click

from reconciler.cli import console
from reconciler.cli.options import shared, shared_options
from reconciler.cli.target import engine_home
from reconciler.errors import TargetError


@click.group("engine")
def command() -> None:
    """The local engine: the Machines API on loopback, really running the commands."""


@command.command("run")
@click.option("--runtime", type=click.Choice(["process"]), envvar="RECONCILER_RUNTIME", default="process")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="PORT", help="0 takes a free one.")
@shared_options
def run(runtime: str, port: int, **_values: object) -> int:
    """Run the engine in the foreground, until Ctrl-C."""
    from reconciler.engine.home import EngineStartError
    from reconciler.engine.serve import run_engine

    try:
        run_engine(
            engine_home(os.environ),
            runtime=runtime,
            port=port,
            ready=lambda status: console.say(f"the engine serves {status.url}; Ctrl-C ends it"),
        )
    except EngineStartError as error:
        raise TargetError(str(error)) from error
    return 0


@command.command("start")
@click.option("--runtime", type=click.Choice(["process"]), envvar="RECONCILER_RUNTIME", default="process")
@shared_options
def start(runtime: str, **_values: object) -> int:
    """Start the engine in the background, unless it runs."""
    from reconciler.engine.home import EngineStartError, start_engine

    try:
        status = start_engine(engine_home(os.environ), runtime=runtime)
    except EngineStartError as error:
        raise TargetError(str(error)) from error
    console.say(f"the engine serves {status.url} (pid {status.pid})")
    return 0


@command.command("stop")
@shared_options
def stop(**_values: object) -> int:
    """Stop the engine and the commands that it runs. Its machines stay on record."""
    from reconciler.engine.home import stop_engine

    was_running = stop_engine(engine_home(os.environ))
    console.say("the engine has stopped" if was_running else "the engine was not running")
    return 0


@command.command("status")
@shared_options
def status(**_values: object) -> int:
    """Show whether the engine runs, and where. Ends 0 either way."""
    from reconciler.engine.home import engine_status

    found = engine_status(engine_home(os.environ))
    if shared().is_json:
        console.print_json(
            {key: str(value) if key == "token_file" and value else value for key, value in asdict(found).items()}
        )
    elif found.running:
        console.print_text(
            f"running at {found.url}\n  pid      {found.pid}\n  runtime  {found.runtime}\n  token    {found.token_file}"
        )
    else:
        console.print_text("not running")
    return 0
