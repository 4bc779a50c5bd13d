"""Take --expect-plan, and read what it approves."""

from collections.abc import Callable
from pathlib import Path

import click

from reconciler.cli.ui.options import F, Shared
from reconciler.cli.ui.session import seen_from
from reconciler.cli.ui.values import Text
from reconciler.model.approval import Approval


def expect_plan_option(verb: str) -> Callable[[F], F]:
    """Add --expect-plan to a command; its help begins with `verb`."""
    text = f"{verb} only what was approved: a plan's hash, the set of its changes, or @FILE. May be repeated."

    def add(function: F) -> F:
        option = click.option("--expect-plan", "expected", type=Text(), multiple=True, metavar="sha256:…", help=text)
        return option(function)

    return add


def read_approvals(text: str, options: Shared) -> tuple[Approval, ...]:
    """Return what one --expect-plan approves. Raises UsageError."""
    from reconciler.operations import approvals

    try:
        if text.startswith("@"):
            return approvals.read_approvals(seen_from(options, Path(text[1:])))
        return approvals.approvals_of(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expect-plan") from error
