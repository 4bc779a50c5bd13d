"""What the shared options name: the spec, the target, and a session on it.

The environment is read here.
"""

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from msgspec.structs import replace

from reconciler.cli.ui import console, streams
from reconciler.cli.ui.options import Shared
from reconciler.errors import UsageError
from reconciler.operations.load import load
from reconciler.operations.spec_files import MAX_BYTES, SpecSource, environment_of, named_files

FLY_APP: Final = "FLY_APP"  # of flyctl. The platform sets FLY_APP_NAME in each machine, which is not read

if TYPE_CHECKING:
    from reconciler.machines_api.transport import TraceEntry
    from reconciler.model.spec import Spec
    from reconciler.operations.revision import FoundRevision
    from reconciler.operations.session import Session
    from reconciler.slots.context import Emit
    from reconciler.targets import Target


def source_of(shared: Shared) -> SpecSource:
    """Return which spec the shared options name, and how much of it."""
    return SpecSource(
        environment=os.environ,
        file=shared.file,
        overlays=shared.overlays,
        environment_name=shared.environment,
        directory=shared.directory,
        target=shared.target,
        app=shared.app,
        selection=shared.selection,
    )


def load_spec(shared: Shared, *, environment: str | None = None) -> "Spec":
    """Return the spec that the shared options name. Raises SpecError, UsageError.

    `environment` is the one to read it for where neither a flag nor a variable says one.
    """
    source = source_of(shared)
    if environment_of(source) is None:
        source = replace(source, environment_name=environment)
    return load_source(source)


def load_spec_of_app(shared: Shared) -> "Spec":
    """Return the spec as `load_spec` does; FLY_APP is the default of -a.

    That is for verbs about runs alone: it must never narrow a plan.
    """
    return load_source(replace(source_of(shared), app_variable=FLY_APP))


def load_source(source: SpecSource) -> "Spec":
    """Return the spec of the source; - is stdin. Raises SpecError, UsageError."""
    return load(with_stdin(source))


def with_stdin(source: SpecSource) -> SpecSource:
    """Return the source with what stdin has, if it names that. Raises UsageError."""
    if "-" not in named_files(source):
        return source
    return replace(source, stdin=sys.stdin.buffer.read(MAX_BYTES + 1))


def check_revision(number: int | None, *, is_unfenced: bool) -> None:
    """Raise a usage error if --revision and --no-revision are both given."""
    if is_unfenced and number is not None:
        raise click.UsageError("--revision and --no-revision contradict each other")


def find_revision(shared: Shared, spec: "Spec", number: int | None, *, is_unfenced: bool) -> "FoundRevision":
    """Return the revision that the flags give, else the commit's or the pipeline's."""
    from reconciler.operations import revision
    from reconciler.targets import LOCAL, name_of_target

    is_local = name_of_target(os.environ, shared.target) == LOCAL
    return revision.find_revision(spec, number, os.environ, is_declined=is_unfenced, is_local=is_local)


def seen_from(shared: Shared, file: Path) -> Path:
    """Return a saved plan's file as seen from the directory of -C.

    Raises UsageError if none is named.
    """
    if not file.name:
        raise UsageError(f"{file} names no file for the plan", hint="name one, such as `--out plan.json`")
    return (shared.directory or Path()) / file


def resolve(shared: Shared) -> "Target":
    """Return the target: the flag's, else the environment's.

    Starts the local engine if it is not running.
    """
    from reconciler.targets import resolve_target

    target = resolve_target(os.environ, shared.target)
    streams.learn(target.token)
    return target


def tracing(shared: Shared) -> "Callable[[TraceEntry], None] | None":
    """Return what shows each call on stderr; None without --trace-http."""

    def trace(entry: "TraceEntry") -> None:
        status = entry.status or "no answer"
        took_ms = entry.duration_s * 1000
        console.say(f"{entry.method} {entry.path} -> {status} {took_ms:.0f} ms {entry.request_id or ''}".rstrip())

    return trace if shared.is_tracing else None


def debugging(shared: Shared) -> "Callable[[Exception], None]":
    """Return what shows the traceback of an error on stderr, with --debug."""

    def debug(error: Exception) -> None:
        if shared.is_debugging:
            import traceback

            console.say("".join(traceback.format_exception(error)).rstrip())

    return debug


@asynccontextmanager
async def open_session(shared: Shared, target: "Target", emit: "Emit") -> "AsyncIterator[Session]":
    """Open a session on the target for the block.

    It traces and debugs as the shared options say.
    """
    from reconciler.operations.session import open_session as open_on

    known = streams.current().known
    async with open_on(
        target,
        os.environ,
        emit=emit,
        debug=debugging(shared),
        trace=tracing(shared),
        learn=known.add,
    ) as session:
        yield session
