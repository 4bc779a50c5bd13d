"""Look up what was given to the running command, before or after the verb."""

import os
from collections.abc import Iterator
from typing import Any

import click
from click.core import ParameterSource

# In the context's `meta`: --debug, --trace-http as a variable, --no-input.
DEBUG = "reconciler.debug"
HTTP = "reconciler.http"
NO_INPUT = "reconciler.no_input"
JSON = "reconciler.json"  # that -o json was given
_LOG = "RECONCILER_LOG"
_LOGS = {"debug": DEBUG, "http": HTTP}


def value_of(name: str) -> Any:
    """Return the verb's own value, else the one that was given before the verb."""
    fallback = None
    for context in _contexts():
        if name in context.params:
            fallback = context.params[name]
            if _is_given_in(context, name):
                return fallback
    return fallback


def is_given(name: str) -> bool:
    return any(_is_given_in(context, name) for context in _contexts() if name in context.params)


def _is_given_in(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def _contexts() -> Iterator[click.Context]:
    """Yield the running command's context, then those before it."""
    context: click.Context | None = click.get_current_context()
    while context is not None:
        yield context
        context = context.parent


def note_debug(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    """Keep that --debug was given, before or after the verb, for later errors."""
    if value:
        context.meta[DEBUG] = True


def note_no_input(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    """Keep that --no-input was given, before or after the verb."""
    if value:
        context.meta[NO_INPUT] = True


def note_json(context: click.Context, parameter: click.Parameter, value: str | bool) -> str | bool:
    """Keep whether JSON is asked for, before or after the verb, for later errors."""
    if _is_given_in(context, parameter.name or ""):
        context.meta[JSON] = value in {"json", True}
    return value


def note_logs(context: click.Context) -> None:
    """Keep what RECONCILER_LOG says, as if it were flags. Raises a usage error."""
    for word in filter(None, os.environ.get(_LOG, "").replace(",", " ").split()):
        if word not in _LOGS:
            raise click.UsageError(f"{_LOG} is {word!r}; it takes {' and '.join(_LOGS)}, as --debug and --trace-http")
        context.meta[_LOGS[word]] = True
