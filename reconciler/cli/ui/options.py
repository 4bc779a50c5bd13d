"""The options that every verb shares. They may stand before or after the verb."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import Struct

from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.given import DEBUG, HTTP, is_given, note_debug, note_json, note_no_input, value_of
from reconciler.cli.ui.values import Count, Duration, Environment, Named, NamedText, Text
from reconciler.model.image import Resolve
from reconciler.model.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.targets import Target

_SHOWING = ("plan", "show", "diff", "drift")  # what shows a plan and does nothing
_VERBS_OF = {"markdown": (*_SHOWING, "destroy", "release", "apply"), "html": _SHOWING, "gitlab": _SHOWING}

_FORMATS = click.Choice(["text", "json", *_VERBS_OF])

F = TypeVar("F", bound=Callable[..., Any])
_BUILDERS = ("docker", "podman", "buildah")
_ONE_POOL = "this pool; may be repeated"
_TARGET = "Where the API is. [default: fly]"
_PUSH_TO = "RECONCILER_PUSH_TO"  # as in operations.load, which `--help` does not import


class Shared(Struct, frozen=True, kw_only=True):
    """The shared options' values."""

    file: str | None
    overlays: tuple[str, ...]
    environment: str | None
    directory: "Path | None"
    app: str | None
    selection: Selection
    output: str
    target: str | None
    is_plain: bool
    verbosity: int
    is_tracing: bool
    is_debugging: bool = False
    json_into: str | None = None

    @property
    def is_json(self) -> bool:
        return self.output == "json"


def shared_options(function: F) -> F:
    """Add the shared options to a command or group; read them with `shared()`."""
    options = [
        click.option(
            "-f",
            "--file",
            "file",
            type=Named(),
            metavar="FILE",
            multiple=True,
            shell_complete=completes("file"),
            help="The spec; - is stdin. A further FILE lies over the one before. [default: machines.yaml]",
        ),
        click.option(
            "--environment",
            type=Environment(),
            metavar="ENV",
            shell_complete=completes("environments"),
            help="Lay machines.ENV.yaml over the spec, and set ${RECONCILER_ENVIRONMENT} in it.",
        ),
        _completed("dir", "-C", "directory", type=Named(), metavar="DIR", help="Work as if started in DIR."),
        _completed("apps", "-a", "--app", "app", type=Text(), metavar="APP", help="Only this app of the spec."),
        _completed("pools", "--only", type=Text(), metavar="POOL", multiple=True, help=f"Only {_ONE_POOL}."),
        click.option("-o", "--output", "output", type=_FORMATS, default="text", callback=note_json),
        click.option("--json", "is_json", is_flag=True, callback=note_json, help="The same as -o json."),
        _completed("targets", "--target", type=NamedText(), metavar="fly|local|URL", help=_TARGET),
        click.option("--no-color", "is_plain", is_flag=True, help="No colours. NO_COLOR does the same."),
        click.option(
            "--no-input", is_flag=True, expose_value=False, callback=note_no_input, help="Never ask: refuse instead."
        ),
        click.option("-v", "verbosity", count=True, help="Say more."),
        click.option(
            "--debug", is_flag=True, expose_value=False, callback=note_debug, help="Show the traceback of an error."
        ),
        click.option("--trace-http", "is_tracing", is_flag=True, help="Show each API call on stderr, without bodies."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _completed(what: str, *names: str, **details: Any) -> Callable[[F], F]:
    """Return an option whose value the shell completes with this."""
    return click.option(*names, shell_complete=completes(what), **details)


def shared() -> Shared:
    """Return the values for the running command: its own, else those before the verb."""
    from pathlib import Path

    context = click.get_current_context()
    values = {name: value_of(name) for name in ("file", "environment", "directory", "app", "only", "target")}
    return Shared(
        file=values["file"][0] if values["file"] else None,
        overlays=tuple(values["file"][1:]),
        environment=values["environment"],
        directory=Path(values["directory"]) if values["directory"] else None,
        app=values["app"],
        selection=Selection(
            only=tuple(values["only"]),
            exclude=tuple(context.params.get("exclude", ())),
            regions=tuple(context.params.get("regions", ())),
        ),
        output=_output(context),
        target=values["target"],
        is_plain=value_of("is_plain"),
        verbosity=value_of("verbosity"),
        is_tracing=value_of("is_tracing") or HTTP in context.meta,
        is_debugging=DEBUG in context.meta,
        json_into=context.params.get("json_into"),
    )


def _output(context: click.Context) -> str:
    """Return the format of the output. Raises a usage error."""
    output = str(value_of("output"))
    if value_of("is_json"):
        if output != "json" and is_given("output"):
            raise click.UsageError(f"--json is -o json, and contradicts -o {output}")
        return "json"
    verbs = _VERBS_OF.get(output)
    if verbs and context.info_name not in verbs and not context.params.get("is_dry"):
        said = ", ".join(verbs if "apply" in verbs else (*verbs, "apply --dry-run", "release --dry-run"))
        raise click.UsageError(f"-o {output} is for {said}; use text or json")
    return output


def yes_option(text: str) -> Callable[[F], F]:
    """Add --yes to a command that asks; `text` is its help."""

    def add(function: F) -> F:
        return click.option("-y", "--yes", "--auto-approve", "is_agreed", is_flag=True, help=text)(function)

    return add


def dry_run_options(text: str) -> Callable[[F], F]:
    """Add --dry-run, whose help is `text`, and --detailed-exitcode to a command."""

    def add(function: F) -> F:
        detailed = "With --dry-run: end with 2 for changes."
        function = click.option("--detailed-exitcode", "is_detailed", is_flag=True, help=detailed)(function)
        return click.option("--dry-run", "is_dry", is_flag=True, help=text)(function)

    return add


def check_dry_run(is_dry: bool, events: str | None, *, is_detailed: bool) -> None:
    """Raise a usage error for what only a dry run has, and what none has."""
    if is_detailed and not is_dry:
        raise click.UsageError("--detailed-exitcode goes with --dry-run, or with `plan`")
    if is_dry and events is not None:
        raise click.UsageError("--events does not go with --dry-run, which makes no changes")


def selection_options(function: F) -> F:
    """Add --exclude and --region, which go with --only, to a command."""
    without, places = f"All but {_ONE_POOL}.", "Only machines in this region; may be repeated."
    region = _completed("regions", "--region", "regions", type=Text(), metavar="R", multiple=True, help=places)
    return _completed("pools", "--exclude", type=Text(), metavar="POOL", multiple=True, help=without)(region(function))


def show_values_option(function: F) -> F:
    """Add --show-values to a command that shows a plan."""
    text = "Do not mask values of variables and files; on a terminal only."
    return click.option("--show-values", "shows_values", is_flag=True, help=text)(function)


def revision_options(function: F) -> F:
    """Add --revision and --no-revision to a command."""
    given = "The spec's revision, which no older apply undoes. [default: the time of the commit]"
    none = "The spec has no revision: do not warn, and do not look for one."
    function = click.option("--no-revision", "is_unfenced", is_flag=True, help=none)(function)
    return click.option("--revision", type=Count(0), metavar="N", help=given)(function)


def resolve_option(function: F) -> F:
    """Add --resolve to a command."""
    text = "Look up what the images' tags name now. [default: auto: as far as the registries answer]"
    return click.option("--resolve", "resolve_mode", type=click.Choice([one.value for one in Resolve]), help=text)(
        function
    )


def push_to_option(function: F) -> F:
    """Add --push-to to a command."""
    text = "Where images are pushed that the spec builds. [default: the app's own at registry.fly.io]"
    return click.option("--push-to", "push_to", type=Text(), envvar=_PUSH_TO, metavar="REGISTRY", help=text)(function)


def json_into_option(function: F) -> F:
    """Add --json-into to a command that has a JSON document."""
    text = "Write the JSON document into FILE too, for its owner only."
    return _completed("file", "--json-into", type=Named(), metavar="FILE", help=text)(function)


def events_option(function: F) -> F:
    """Add --events to a command that changes machines."""
    text = "Write what happens into FILE as it happens, a line of JSON each; - is stdout."
    return _completed("file", "--events", type=Named(), metavar="FILE", help=text)(function)


def builder_option(function: F) -> F:
    """Add --builder to a command."""
    text = "What builds images. [default: the first that is here]"
    return click.option("--builder", type=click.Choice(_BUILDERS), help=text)(function)


def resolve_mode_of(flag: str | None, target: "Target") -> Resolve:
    """Return how tags are looked up. Raises a usage error."""
    from reconciler.operations.images import mode_of

    try:
        return mode_of(flag, os.environ, target)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def lost_after_option(function: F) -> F:
    """Add --lost-after to a command that waits for a run."""
    text = "Give the run up after so long without a usable answer; it may go on."
    return click.option("--lost-after", type=Duration(), default="30m", show_default=True, metavar="30m", help=text)(
        function
    )
