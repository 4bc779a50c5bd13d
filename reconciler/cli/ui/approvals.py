"""Read what `--expect-plan` approves."""

from pathlib import Path

import click

from reconciler.cli.ui.options import Shared
from reconciler.cli.ui.session import seen_from
from reconciler.model.approval import Approval


def read_approvals(text: str, options: Shared) -> tuple[Approval, ...]:
    """Return what one --expect-plan approves. Raises UsageError."""
    from reconciler.operations import approvals

    try:
        if text.startswith("@"):
            return approvals.read_approvals(seen_from(options, Path(text[1:])))
        return approvals.approvals_of(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expect-plan") from error
