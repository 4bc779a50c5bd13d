"""`reconciler import APP`: print the spec of an app's machines. Never writes."""

import os
from typing import TYPE_CHECKING

import click

from reconciler.cli.ui import console, streams
from reconciler.cli.ui.options import Shared, shared, shared_options
from reconciler.cli.ui.session import FLY_APP, open_session, resolve
from reconciler.cli.ui.signals import run_async
from reconciler.cli.ui.values import Text
from reconciler.errors import UsageError
from reconciler.model.counted import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.operations.import_app import Imported, ImportOptions
    from reconciler.targets import Target


@click.command("import")
@click.argument("app_name", metavar="[APP]", required=False, type=Text())
@click.option("--name", "stack", type=Text(), metavar="STACK", help="The stack's name. [default: the app's]")
@click.option("--org", type=Text(), metavar="ORG", help="The app's organisation. [default: as the API tells]")
@click.option("--skip", "skipped", type=Text(), metavar="MACHINE", multiple=True, help="Leave this machine out.")
@click.option("--files", "shows_files", is_flag=True, help="Write contents of files that do not look secret.")
@click.option("--all-values", "shows_all", is_flag=True, help="Write all values, secret ones too.")
@shared_options
def command(
    app_name: str | None,
    stack: str | None,
    org: str | None,
    skipped: tuple[str, ...],
    shows_files: bool,
    shows_all: bool,
    **_values: object,
) -> int:
    """Print the spec of an app's live machines.

    Its first plan, `plan --adopt`, takes the machines over as they are, which is proven before it is printed: nothing
    is changed or restarted. Values that look secret are variables in it. APP is by default what FLY_APP names. Ends 0,
    or 1 if there is no such spec: then it says why, and prints nothing.
    """
    from reconciler.operations.import_app import ImportOptions

    options = shared()
    known = streams.current().known
    how = ImportOptions(
        stack=stack,
        org=org,
        shows_all=shows_all,
        shows_files=shows_files,
        skipped=skipped,
        is_own_token=lambda text: known.conceal(text) != text,
    )
    app = _app(app_name, options)
    return _shown(run_async(_import(options, resolve(options), app, how)), app, options)


def _app(given: str | None, options: Shared) -> str:
    """Return the app that is named. Raises a usage error if none or two are."""
    if given and options.app and given != options.app:
        raise click.UsageError(f"both {given} and --app {options.app} are named")
    if app := given or options.app or os.environ.get(FLY_APP):
        return app
    raise click.UsageError(f"name the app: `reconciler import APP`, or set {FLY_APP}")


async def _import(options: Shared, target: "Target", app: str, how: "ImportOptions") -> "Imported":
    from reconciler.operations.import_app import import_app

    async with open_session(options, target, console.say) as session:
        return await import_app(session, app, how)


def _shown(found: "Imported", app: str, options: Shared) -> int:
    from reconciler.cli.ui.errors import tell_failures
    from reconciler.render.redact import clean

    if streams.current().known.conceal(found.text) != found.text:
        why = "the spec would show a token of yours, where no variable can stand in its place"
        raise UsageError(why, hint="take it out of the machine first: into `env` or a file, where values are masked")
    if options.is_json:
        console.print_json(_as_json(found, app))
        return 1 if found.problems else 0
    for line in (*(f"left alone: {one}" for one in found.left_alone), *found.notes):
        console.say(clean(line))
    if found.problems:
        console.say(f"app {app} cannot be imported as it is; `--skip MACHINE` leaves a machine out")
        return tell_failures(clean(problem) for problem in found.problems)
    console.print_text(found.text.rstrip("\n"), is_safe=True)
    for line in _said(found, options):
        console.say(clean(line, 2_000))
    return 0


def _as_json(found: "Imported", app: str) -> dict[str, object]:
    from reconciler.render.redact import clean

    def cleaned(lines: "Iterable[str]") -> list[str]:
        return [clean(line) for line in lines]

    return {
        "app": app,
        "stack": found.stack,
        "machines": found.machine_count,
        "spec": found.text or None,
        "variables": list(found.variables),
        "problems": cleaned(found.problems),
        "left_alone": cleaned(found.left_alone),
        "notes": cleaned(found.notes),
        "kept": {what: None if names is None else cleaned(names) for what, names in found.kept.items()},
    }


def _said(found: "Imported", options: Shared) -> list[str]:
    """Say what was left out, what stays as it is, and what to do next."""
    count = counted(found.machine_count, "machine")
    lines = [f"the first plan of this spec adopts {count}, and does nothing else"]
    if found.variables:
        lines.append(f"values left out, to be set before you plan: {', '.join(found.variables)}")
    for what, names in found.kept.items():
        if names is None:
            lines.append(f"the app's {what} could not be read")
        elif names:
            lines.append(f"{what} stay as they are: {', '.join(names)}")
    if found.is_deployed_by_fly:
        lines.append("`fly deploy` manages these machines too: once they are adopted, change them by apply alone")
    how = " ".join(["reconciler", *(["--target", options.target] if options.target else [])])
    lines.append(f"next: save it as machines.yaml, then `{how} plan --adopt` and `{how} apply --adopt`")
    return lines
