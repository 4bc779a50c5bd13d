"""Complete the words of a command line, as the shell's script asks.

It never prints an error, starts no engine, asks nobody and reads no stdin: what cannot be found is not offered. The
names in a spec are found offline, also in a spec that has errors. The target is asked for runs alone, for a second.
"""

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem
from msgspec import Struct
from msgspec.structs import replace

from reconciler.cli.ui.given import value_of

if TYPE_CHECKING:
    from reconciler.model.run import RunState
    from reconciler.model.spec import Spec
    from reconciler.operations.spec_files import SpecSource
    from reconciler.targets import Target

PROGRAM: Final = "reconciler"
VARIABLE: Final = "_RECONCILER_COMPLETE"
"""Holds what the shell's script asks for, such as `bash_complete`."""
_TARGET_TIMEOUT_S: Final = 1.0
# A shell puts a completed word into the line as it is: nothing of a stranger's spec may mean more than a name there.
_HARMLESS: Final = r"[A-Za-z0-9._/@+-]+"


def complete(cli: click.Command, instruction: str) -> int:
    """Print what completes the line in the environment; nothing if unsure."""
    from click.shell_completion import shell_complete

    with contextlib.suppress(Exception, KeyboardInterrupt), contextlib.redirect_stderr(io.StringIO()):
        if instruction.endswith("_complete"):
            shell_complete(cli, {}, PROGRAM, VARIABLE, instruction)
    return 0


def words_of(what: str, context: click.Context, begun: str) -> list[CompletionItem[str]]:
    """Return the words of this kind that begin so; files are left to the shell."""
    if what in {"file", "dir"}:
        return [CompletionItem(begun, type=what)]
    from reconciler.errors import ReconcilerError

    found: Iterable[str] = ()
    with contextlib.suppress(ReconcilerError, OSError):
        found = FINDERS[what](context)
    fitting = (word for word in dict.fromkeys(found) if word.startswith(begun) and re.fullmatch(_HARMLESS, word))
    return [CompletionItem(word) for word in fitting]


class _Names(Struct, frozen=True):
    """The names that a spec declares."""

    apps: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


def _names(context: click.Context) -> _Names:
    """Return the names in the spec. Raises UsageError if there is none."""
    from reconciler.errors import SpecError
    from reconciler.operations.load import load

    source = _source(context)
    try:
        spec = load(source)
    except SpecError:
        return _written_names(source)
    tasks = tuple(task.name for task in spec.tasks)
    return _Names(
        apps=tuple(app.label for app in spec.apps),
        tasks=tasks,
        services=tuple(pool.name for pool in spec.pools if pool not in spec.tasks),
        regions=tuple(region for pool in spec.pools for region in pool.counts),
    )


def _written_names(source: "SpecSource") -> _Names:
    """Return the names as they are written, such as where a variable is not set."""
    import yaml

    from reconciler.operations.spec_files import read_named

    try:
        apps = _map(_map(yaml.safe_load(read_named(source)[0][1])).get("apps"))
    except (yaml.YAMLError, ValueError, RecursionError):
        return _Names()
    chosen = [app for label, app in apps.items() if source.app in {None, label}]
    found = {
        kind: [str(name) for app in chosen for name in _map(_map(app).get(kind))] for kind in ("tasks", "services")
    }
    return _Names(apps=tuple(map(str, apps)), tasks=tuple(found["tasks"]), services=tuple(found["services"]))


def _map(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _source(context: click.Context) -> "SpecSource":
    """Return which spec the line names. Raises UsageError for one on stdin."""
    from reconciler.operations.spec_files import SpecSource, named_files

    names = ("file", "environment", "directory", "app", "target")
    with context.scope(cleanup=False):
        given = {name: value_of(name) for name in names}
    files = [str(Path(file).expanduser()) for file in given["file"] or ()]
    source = SpecSource(
        environment=os.environ,
        file=files[0] if files else None,
        overlays=tuple(files[1:]),
        environment_name=given["environment"],
        directory=Path(given["directory"]).expanduser() if given["directory"] else None,
        target=given["target"],
        app=given["app"],
    )
    if "-" in named_files(source):
        from reconciler.errors import UsageError

        raise UsageError("a spec on stdin is not read here", hint="name a file")
    return source


def _apps(context: click.Context) -> Iterable[str]:
    return _names(context).apps


def _tasks(context: click.Context) -> Iterable[str]:
    return _names(context).tasks


def _pools(context: click.Context) -> Iterable[str]:
    found = _names(context)
    return (*found.tasks, *found.services)


def _regions(context: click.Context) -> Iterable[str]:
    return _names(context).regions


def _environments(context: click.Context) -> Iterable[str]:
    from reconciler.operations.spec_files import environments_beside, read_named

    source = replace(_source(context), environment_name=None)
    return environments_beside(source, read_named(source)[0][0])


def _runs(context: click.Context) -> Iterable[str]:
    from reconciler.model.run import RunState

    return _asked_runs(context, {*RunState})


def _going_on(context: click.Context) -> Iterable[str]:
    from reconciler.model.run import RunState

    return _asked_runs(context, {RunState.RUNNING})


def _pools_and_runs(context: click.Context) -> Iterable[str]:
    return (*_pools(context), *_runs(context))


def _asked_runs(context: click.Context, states: "set[RunState]") -> Iterable[str]:
    """Return the ids of the runs in these states, newest first, if told in time."""
    import asyncio

    from reconciler.cli.ui.threads import leave_threads_behind
    from reconciler.errors import ReconcilerError
    from reconciler.operations.load import load
    from reconciler.operations.runs import list_all_runs
    from reconciler.operations.session import open_session
    from reconciler.targets import find_target

    async def ask(spec: "Spec", target: "Target") -> Iterable[str]:
        leave_threads_behind()
        async with asyncio.timeout(_TARGET_TIMEOUT_S), open_session(target, os.environ, emit=_nothing) as session:
            found = await list_all_runs(session.context, spec)
            return [run.id for run in found.runs if run.state in states]

    with contextlib.suppress(ReconcilerError, OSError, TimeoutError):
        source = _source(context)
        spec, target = load(source), find_target(os.environ, source.target)
        if target:
            return asyncio.run(ask(spec, target))
    return ()


def _nothing(_line: str) -> None:
    return


def _schemas(_context: click.Context) -> Iterable[str]:
    from reconciler.cli.commands.schema import schema_names

    return schema_names()


def _targets(_context: click.Context) -> Iterable[str]:
    return ("fly", "local")


def _verbs(context: click.Context) -> Iterable[str]:
    """Return the verbs, or those below the verb that the line has."""
    shown = context.find_root()
    for word in context.params.get("words") or ():
        found = shown.command.get_command(shown, word) if isinstance(shown.command, click.Group) else None
        if found is None:
            return ()
        shown = click.Context(found, info_name=word, parent=shown)
    return shown.command.list_commands(shown) if isinstance(shown.command, click.Group) else ()


FINDERS: Final[Mapping[str, Callable[[click.Context], Iterable[str]]]] = {
    "apps": _apps,
    "tasks": _tasks,
    "pools": _pools,
    "regions": _regions,
    "environments": _environments,
    "runs": _runs,
    "runs that go on": _going_on,
    "pools and runs": _pools_and_runs,
    "schemas": _schemas,
    "targets": _targets,
    "verbs": _verbs,
}
