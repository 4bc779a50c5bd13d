"""Show errors as annotations when GitHub runs us, besides the text for people."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from reconciler.model.spec import Diagnostic


def annotate(messages: Iterable[str], *, hint: str | None = None) -> None:
    """Print one annotation for each error, if something shows annotations."""
    if not _is_github():
        return
    from reconciler.render.diagnostics import error_annotation

    for message in messages:
        click.echo(error_annotation(message, hint=hint), err=True)


def annotate_diagnostics(diagnostics: "Iterable[Diagnostic]") -> None:
    """Print one annotation at the place of each error of a spec."""
    if not _is_github():
        return
    from reconciler.render.diagnostics import diagnostic_annotation

    for diagnostic in diagnostics:
        click.echo(diagnostic_annotation(diagnostic, file=_from_root(diagnostic.place.file)), err=True)


def _is_github() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def _from_root(file: str) -> str:
    """Return the path from the checkout's root, which annotations count from."""
    root = os.environ.get("GITHUB_WORKSPACE")
    path = Path(file).absolute()
    return str(path.relative_to(root)) if root and path.is_relative_to(root) else file
