"""Errors where a pipeline shows them: as annotations, when GitHub runs us. To people they are told besides."""

import os
from collections.abc import Iterable
from pathlib import Path

import click

from reconciler.errors import SpecError


def annotate(messages: Iterable[str], *, hint: str | None = None) -> None:
    """One annotation for each error, where there is a place for annotations."""
    if not _is_github():
        return
    from reconciler.render.annotations import error_annotation

    for message in messages:
        click.echo(error_annotation(message, hint=hint), err=True)


def annotate_spec(error: SpecError) -> None:
    """One annotation at the place of each error of a spec, as far as they are told."""
    if not _is_github():
        return
    from reconciler.render.annotations import diagnostic_annotation

    for diagnostic in error.diagnostics:
        click.echo(diagnostic_annotation(diagnostic, file=_from_root(diagnostic.place.file)), err=True)


def _is_github() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def _from_root(file: str) -> str:
    """The path as seen from the checkout, which is what annotations count from."""
    root = os.environ.get("GITHUB_WORKSPACE")
    path = Path(file).absolute()
    return str(path.relative_to(root)) if root and path.is_relative_to(root) else file
