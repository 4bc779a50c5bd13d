"""Say what completes an option or argument, without importing what finds it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Complete: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]"


def completes(what: str) -> Complete:
    """Return what completes a word; `what` is a name of `completion.FINDERS`."""

    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> "list[CompletionItem[str]]":
        from reconciler.cli.ui.completion import words_of

        return words_of(what, context, begun)

    return complete
