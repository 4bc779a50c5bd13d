"""Make a spec of its files: the first one, and what lies over it."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from reconciler.errors import UsageError
from reconciler.model.marks import LOCAL_CONTEXT
from reconciler.model.spec import ENVIRONMENT, Pool, Spec
from reconciler.model.unicode import is_utf8
from reconciler.operations.selection import check_pools, nearest_of
from reconciler.operations.spec_files import (
    ReadFile,
    SpecSource,
    decoded,
    environment_of,
    environments_beside,
    find_overlay,
    misspelt_warnings,
    read_named,
    reader_beside,
    unknown_environment,
    variables_of,
)

PUSH_TO: Final = "RECONCILER_PUSH_TO"


def load(source: SpecSource) -> Spec:
    """Return the spec of the named file, or of the file that is found.

    Over it lie the overlays, and that of the environment on top. Raises SpecError, UsageError.
    """
    files = read_named(source)
    name = files[0][0]
    others = environments_beside(source, name) if environment_of(source) else []
    return load_files(files, source, reader_beside(source, name), others)


def load_files(
    files: Iterable[tuple[str, bytes]], source: SpecSource, read: ReadFile, others: Collection[str] = ()
) -> Spec:
    """Return the spec of files, by their names in errors.

    Each lies over the one before. `read` reads the overlay of the environment; `others` are the environments that have
    one. Raises SpecError, UsageError.
    """
    from reconciler.spec import load_spec

    texts = [(name, decoded(content, name)) for name, content in files]
    file, text = texts[0]
    environment = environment_of(source)
    overlay = find_overlay(file, environment, read) if environment else None
    if overlay:
        texts.append((overlay[0], decoded(overlay[1], overlay[0])))
    bare = None if overlay else environment
    if bare and not any(ENVIRONMENT in text for _, text in texts):
        raise unknown_environment(file, bare, others)  # before errors about what only its overlay would say
    spec = load_spec(text, file=file, environment=variables_of(source, environment), overlays=texts[1:])
    if bare and ENVIRONMENT not in spec.variables:
        raise unknown_environment(file, bare, others)
    said = misspelt_warnings(file, bare, others) if bare else ()
    spec = replace(spec, environment=environment, warnings=(*spec.warnings, *said))
    check_pools((spec,), source.selection)
    spec = _with_builds(spec, source)
    if source.app is None and source.app_variable and (app := source.environment.get(source.app_variable)):
        return reduced(spec, app, said_by=source.app_variable)
    return reduced(spec, source.app)


def directory_of(spec: Spec) -> Path:
    """Return where the paths in the spec are seen from: its own directory."""
    return Path.cwd() if spec.file.startswith("<") else Path(spec.file).absolute().parent


def _with_builds(spec: Spec, source: SpecSource) -> Spec:
    """Return the spec with the places where its built images are pushed.

    On the local target, also with the contexts that they are built from. This is done for every verb: an invoke must
    know what was applied.
    """
    if not any(pool.build for pool in spec.pools):
        return spec
    if (source.target or source.environment.get("RECONCILER_TARGET")) == "local":
        spec = _with_local_contexts(spec)
    return pushed_to(spec, source.environment.get(PUSH_TO))


def pushed_to(spec: Spec, prefix: str | None) -> Spec:
    """Return the spec whose built images are pushed there. Raises BuildError."""
    if not prefix:
        return spec
    from reconciler.images.builds import with_push_to

    return with_push_to(spec, prefix)


def _with_local_contexts(spec: Spec) -> Spec:
    """Return the spec with the contexts that its images are built from.

    The local engine runs no image: it copies the context into the directory of each start.
    """
    base = directory_of(spec)

    def named(pool: Pool) -> Pool:
        if pool.build is None:
            return pool
        context = str((base / pool.build.context).resolve())
        if not is_utf8(context):
            raise UsageError(f"the local engine cannot be given {context}: its name is not UTF-8", hint="rename it")
        metadata = {**pool.config.metadata, LOCAL_CONTEXT: context}
        return replace(pool, config=pool.config.with_metadata(metadata))

    return replace(spec, apps=tuple(replace(app, pools=tuple(named(pool) for pool in app.pools)) for app in spec.apps))


def find_task(spec: Spec, name: str) -> Pool:
    """Return the task of this name.

    Raises UsageError if there is none, or if several apps have one.
    """
    found = [task for task in spec.tasks if task.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        apps = ", ".join(task.app for task in found)
        raise UsageError(f"task {name!r} is in several apps: {apps}", hint="say which with --app APP")
    import difflib

    if any(pool.name == name for pool in spec.pools):
        tasks = f"; the tasks: {', '.join(task.name for task in spec.tasks)}" if spec.tasks else ""
        hint = f"a service runs by itself: `reconciler logs {name}` shows its output{tasks}"
        raise UsageError(f"{name!r} is a service of {spec.file}, not a task", hint=hint)
    names = [task.name for task in spec.tasks]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the spec's tasks: {', '.join(names) or 'none'}"
    raise UsageError(f"{spec.file} has no task {name!r}", hint=hint)


def reduced(spec: Spec, app: str | None, *, said_by: str | None = None) -> Spec:
    """Return the spec with only this app, by name or label; all of it if None.

    `said_by` is the variable that names the app, if one does. Raises UsageError.
    """
    if app is None:
        return spec
    chosen = tuple(one for one in spec.apps if app in {one.name, one.label})
    if not chosen:
        which = f", which {said_by} names" if said_by else ""
        hint = nearest_of(app, [one.label for one in spec.apps], "its apps")
        raise UsageError(f"{spec.file} has no app {app!r}{which}", hint=hint)
    return replace(spec, apps=chosen)
