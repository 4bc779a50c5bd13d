"""`reconciler diff OLD NEW`: what an apply of NEW would change where OLD was applied. Offline, without a token."""

import os
import posixpath
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from reconciler.cli import spec_file
from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared, shared, shared_options, show_values_option
from reconciler.cli.ui.show_plan import show
from reconciler.errors import UsageError
from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.plan import Plan
from reconciler.model.spec import Spec

_NO_BRAKE: Final = 10_000
_GIT_TIMEOUT_S: Final = 30


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.option("--detailed-exitcode", "is_detailed", is_flag=True, help="End with 2 where there are changes.")
@show_values_option
@shared_options
def command(old: str, new: str, is_detailed: bool, shows_values: bool, **_values: object) -> int:
    """Show what changes from the spec OLD to the spec NEW, without asking the platform anything.

    Either is a file, - for stdin, or git:REF:PATH, such as git:origin/main:machines.yaml. Ends 0, 1 for an error, with
    --detailed-exitcode 2 where there are changes.
    """
    options = shared()
    if shows_values:
        console.check_values_may_be_shown(options)
    if old == new == "-":
        raise click.UsageError("only one of the two can be stdin")
    before, after = _load(old, options, may_be_missing=True), _load(new, options)
    spec_file.check_only((before, after), options)
    plan = _diff(before, after, options)
    show(plan, options, has_hash=False, shows_values=shows_values)
    return 2 if is_detailed and plan.has_changes else 0


def _diff(old: Spec, new: Spec, options: Shared) -> Plan:
    from reconciler.planner.planner import plan
    from reconciler.slots.expected_state import observed_as_applied

    observed = observed_as_applied(replace(old, stack=new.stack), datetime.now(UTC))
    missing = {app.name: ObservedApp(name=app.name, exists=False) for app in new.apps if app.name not in observed.apps}
    world = Observed(apps={**observed.apps, **missing}, at=observed.at)
    found = plan(new, world, only=options.only, allow_destroy=_NO_BRAKE)
    return replace(found, warnings=(*found.warnings, *_left_behind(old, new)), observed_at=None)


def _left_behind(old: Spec, new: Spec) -> list[str]:
    """What no plan of the new spec would touch any more."""
    warnings = []
    if old.stack and old.stack != new.stack:
        renamed = f"the stack's name changes from {old.stack} to {new.stack}"
        warnings.append(f"{renamed}: machines that carry the old one are not taken over")
    names = {app.name for app in new.apps}
    return warnings + [
        f"app {app.name} is no longer in the spec: its machines stay as they are;"
        " to remove them, leave it with `tasks: {}` and apply"
        for app in old.apps
        if app.name not in names and app.pools
    ]


def _load(name: str, options: Shared, *, may_be_missing: bool = False) -> Spec:
    """The spec of a file, of stdin, or of a commit; interpolated like any other. One that is yet to come is empty."""
    if not name.startswith("git:"):
        return spec_file.load(replace(options, file=name, only=()))
    from reconciler.spec import load_spec

    content = _from_git(name, options)
    if content is None and not may_be_missing:
        raise UsageError(f"git has no {name}", hint="paths are from the repository's root")
    if content is None:
        console.say(f"{name} is not there: the spec is new")
        return Spec(stack="", apps=(), file=name)
    spec = load_spec(spec_file.decoded(content, name), file=name, environment=os.environ)
    return spec_file.reduced(spec_file.with_builds(spec, options), options.app)


def _from_git(name: str, options: Shared) -> bytes | None:
    """The content of the file in that commit; None where the commit has no such file."""
    reference, separator, path = name.removeprefix("git:").partition(":")
    path = posixpath.normpath(path) if path else path
    if not separator or not reference or not path or reference.startswith("-"):
        raise UsageError(f"{name!r} names no file of a commit", hint="write it like git:origin/main:machines.yaml")
    commit = _git(["rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}"], name, options)
    if commit.returncode:
        hint = "a shallow clone has few commits: fetch it first"
        raise UsageError(f"git has no commit {reference}", hint=hint)
    listed = _git(["ls-tree", "--full-tree", reference, "--", path], name, options)
    if listed.returncode == 0 and not listed.stdout.strip():
        return None
    ended = _git(["show", f"{reference}:{path}"], name, options)
    if ended.returncode:
        why = ended.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise UsageError(f"git has no {name}: {why[-1]}", hint="paths are from the repository's root")
    return ended.stdout


def _git(words: list[str], name: str, options: Shared) -> "subprocess.CompletedProcess[bytes]":
    line = ["git", "-C", str(options.directory or Path.cwd()), *words]
    try:
        return subprocess.run(line, capture_output=True, timeout=_GIT_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"cannot ask git for {name}: {error}") from error
