"""`reconciler diff OLD NEW`: what an apply of NEW would change after one of OLD.

Offline, without a token.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec.structs import replace

from reconciler.cli.ui import console
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.options import (
    Shared,
    json_into_option,
    selection_options,
    shared,
    shared_options,
    show_values_option,
)
from reconciler.cli.ui.session import load_source, source_of
from reconciler.cli.ui.show_plan import show
from reconciler.errors import UsageError
from reconciler.model.selection import WHOLE
from reconciler.model.spec import Spec
from reconciler.operations.load import load_files
from reconciler.operations.selection import check_pools
from reconciler.operations.spec_files import SpecSource, UnknownEnvironmentError


@click.command("diff")
@click.argument("old", shell_complete=completes("file"))
@click.argument("new", shell_complete=completes("file"))
@click.option("--detailed-exitcode", "is_detailed", is_flag=True, help="End with 2 where there are changes.")
@show_values_option
@json_into_option
@selection_options
@shared_options
def command(old: str, new: str, is_detailed: bool, shows_values: bool, **_values: object) -> int:
    """Show what changes from the spec OLD to the spec NEW, offline.

    Each is a file, - for stdin, or git:REF:PATH, such as git:origin/main:machines.yaml. Ends 0, or 1 for an error; with
    --detailed-exitcode 2 if there are changes.
    """
    options = shared()
    if shows_values:
        console.check_values_may_be_shown(options)
    if old == new == "-":
        raise click.UsageError("only one of the two can be stdin")
    from reconciler.operations.diff import diff

    before, after = _load(old, options, may_be_missing=True), _load(new, options)
    check_pools((before, after), options.selection)
    plan = diff(before, after, at=datetime.now(UTC), selection=options.selection)
    show(plan, options, has_hash=False, shows_values=shows_values)
    return 2 if is_detailed and plan.has_changes else 0


def _load(name: str, options: Shared, *, may_be_missing: bool = False) -> Spec:
    """Return the interpolated spec of a file, of stdin, or of a commit.

    If it or its environment is missing and `may_be_missing`, return an empty one.
    """
    source = replace(source_of(options), file=name, overlays=(), selection=WHOLE)
    try:
        found = _load_commit(name, source, options) if name.startswith("git:") else load_source(source)
    except UnknownEnvironmentError as error:
        if not may_be_missing:
            raise
        console.say(f"{error.message}: the environment is new")
        return Spec(stack="", apps=(), file=name)
    if found is None and not may_be_missing:
        raise UsageError(f"git has no {name}", hint="paths are from the repository's root")
    if found is None:
        console.say(f"{name} is not there: the spec is new")
    return found or Spec(stack="", apps=(), file=name)


def _load_commit(name: str, source: SpecSource, options: Shared) -> Spec | None:
    """Return the spec of a commit, with the commit's overlay.

    It is None if the commit has no such file.
    """
    from reconciler.operations.git import file_of_commit

    def read(name: str) -> bytes | None:
        return file_of_commit(name, options.directory or Path.cwd(), os.environ)

    content = read(name)
    return None if content is None else load_files([(name, content)], source, read)
