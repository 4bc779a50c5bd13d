"""`reconciler init`: write a first machines.yaml, and say what to type next."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from msgspec.structs import replace

from reconciler.cli.ui import console, streams
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.options import Shared, shared, shared_options
from reconciler.cli.ui.session import FLY_APP
from reconciler.cli.ui.values import Named, Text
from reconciler.model.counted import counted
from reconciler.targets import FLY, name_of_target

if TYPE_CHECKING:
    from reconciler.operations.init import FirstSpec, InitOptions

_STDOUT: Final = "-"
_FILE: Final = "RECONCILER_FILE"
_TRIES: Final = 3


@click.command("init")
@click.option(
    "--name", type=Text(), metavar="NAME", help="The app's name, and the stack's. [default: as the files say]"
)
@click.option("--org", type=Text(), metavar="ORG", help="The organisation of an app that is made. [default: personal]")
@click.option(
    "--from",
    "source",
    type=Named(),
    metavar="FILE",
    shell_complete=completes("file"),
    help="The fly.toml or Dockerfile. [default: what is there]",
)
@shared_options
def command(name: str | None, org: str | None, source: str | None, **_values: object) -> int:
    """Write a first machines.yaml: from a fly.toml, a Dockerfile, or nothing.

    A file that is there is never overwritten. With -f the spec has another name; -f - prints it. FLY_APP, FLY_ORG and
    FLY_REGION are defaults. Ends 0, or 1 if nothing was written.
    """
    from reconciler.operations.init import check_free, write_new

    options = shared()
    _check(options)
    asked = _asked(options, name, org, source)
    prints = asked.file == _STDOUT
    if prints:
        asked = replace(asked, file="machines.yaml")
    else:
        check_free(asked)
    first = _first_spec(asked)
    if prints:
        console.print_text(first.text.removesuffix("\n"), is_safe=True)  # to the letter: a draft escapes what is not
    else:
        write_new(asked.path, first.text, name=asked.file)
        streams.current().result = f"{asked.file} is written"
    _say(_told(first, asked, is_written=not prints), is_data=not prints)
    return 0


def _say(lines: list[str], *, is_data: bool) -> None:
    """Say lines on stdout, or beside data on stderr; a terminal gets them wrapped."""
    from reconciler.render.style import wrapped

    width = console.line_width() if is_data else None
    text = "\n".join(part for line in lines for part in (wrapped(line, width) if line else [""]))
    (console.print_text if is_data else console.say)(text)


def _check(options: Shared) -> None:
    """Raise a usage error for what other verbs have, and this one has not."""
    if options.is_json:
        raise click.UsageError("init has no JSON document")
    if options.overlays:
        raise click.UsageError("init writes one file: give one -f")
    if options.app:
        raise click.UsageError("init takes the app's name as --name")


def _asked(options: Shared, name: str | None, org: str | None, source: str | None) -> "InitOptions":
    from reconciler.operations.init import DEFAULT_FILE, InitOptions

    environment = os.environ
    return InitOptions(
        directory=options.directory or Path(),
        file=options.file or environment.get(_FILE) or DEFAULT_FILE,
        source=source,
        name=name if name is not None else environment.get(FLY_APP) or None,
        org=org or environment.get("FLY_ORG") or None,
        region=environment.get("FLY_REGION") or None,
    )


def _first_spec(asked: "InitOptions") -> "FirstSpec":
    """Return the spec, and ask for the app's name if it is unknown."""
    from reconciler.operations.init import UnknownNameError, make_first_spec

    try:
        return make_first_spec(asked)
    except UnknownNameError as error:
        if not console.is_interactive():
            raise
        console.say(error.message)
    for _ in range(_TRIES):
        answer = console.ask("What is the app called?", refusal="pass --name NAME").strip()
        if not answer:
            break
        try:
            return make_first_spec(replace(asked, name=answer))
        except UnknownNameError as error:
            console.say(error.message)
    raise click.Abort


def _told(first: "FirstSpec", asked: "InitOptions", *, is_written: bool) -> list[str]:
    """Return what to say of the spec, and what to type next."""
    lines = [_summary(first, asked)] if is_written else []
    if first.report:
        lines += ["", "Not in it, or to be checked; each stands there as a comment:"]
        lines += [f"  - {line}" for line in first.report]
    if first.variables:
        lines += ["", "Looked secret, so the spec has a variable instead. Set each before you go on:"]
        lines += [f"  export {name}=…" for name in first.variables]
    return [*lines, "", "Next:", *(f"  {line}" for line in _next(first, asked))]


def _summary(first: "FirstSpec", asked: "InitOptions") -> str:
    app = first.spec.apps[0]
    tasks = sum(pool.kind.value == "task" for pool in app.pools)
    services = len(app.pools) - tasks
    counts = [counted(count, noun) for count, noun in ((services, "service"), (tasks, "task")) if count]
    return f"{asked.file} is written, from {first.origin}: app {app.name}, {', '.join(counts)}."


def _next(first: "FirstSpec", asked: "InitOptions") -> list[str]:
    """Return the commands to type next."""
    file = f" -C {asked.directory}" if asked.directory.parts else ""
    file += "" if asked.file in {"machines.yaml", "machines.yml"} else f" -f {asked.file}"
    on_fly = "" if name_of_target(os.environ) == FLY else f" --target {FLY}"
    if first.task is not None:
        return [
            f"reconciler apply --target local{file}",
            f"reconciler invoke {first.task} --target local{file}",
            f"reconciler plan{on_fly}{file}    (on Fly)",
        ]
    app = first.spec.apps[0].name
    return [
        f"reconciler validate{file}",
        f"reconciler plan --target local{file}",
        f"reconciler plan{on_fly}{file}    (on Fly)",
        f"reconciler apply{on_fly}{file}    (on Fly; asks first)",
        f"For a run on demand, add a task {_place_of_a_task(first)}, and apply;",
        "  then `reconciler invoke report` runs it once.",
        f"If {app} has machines already, `reconciler import {app}` writes a spec that takes them over.",
    ]


def _place_of_a_task(first: "FirstSpec") -> str:
    """Return where a task is added, and how.

    A second `tasks` would be a duplicate key.
    """
    has_tasks = any(pool.kind.value == "task" for pool in first.spec.apps[0].pools)
    task = "report: {command: [./report]}"
    return f"below `tasks:`: {task}" if has_tasks else f"under the app: tasks: {{{task}}}"
