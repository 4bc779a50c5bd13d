"""Find and read the spec: the named file, else machines.yaml.

That file is looked for here and in each directory above, up to the repository's root.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from reconciler.errors import UsageError
from reconciler.model.spec import Pool, Spec
from reconciler.model.unicode import is_utf8

_NAMES: Final = ("machines.yaml", "machines.yml")
_LOCAL_CONTEXT: Final = "local_context"  # metadata that the local engine reads
PUSH_TO: Final = "RECONCILER_PUSH_TO"
STDIN: Final = "<stdin>"
MAX_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecSource:
    """Which spec is meant, how much of it, and the environment that it is read in.

    `file` is seen from `directory`, which is the working directory where it is None. `target` is the target's name,
    since images are built for the local one in another way. `app` reduces the spec to one app; `only` names pools that
    it must have.
    """

    environment: Mapping[str, str] = field(repr=False)
    file: str | None = None
    directory: Path | None = None
    target: str | None = None
    app: str | None = None
    only: tuple[str, ...] = ()


def load(source: SpecSource) -> Spec:
    """Return the spec of the named file, or of the file that is found.

    Raises SpecError, UsageError.
    """
    name, content = _read(source)
    return load_content(content, name, source)


def load_content(content: bytes, name: str, source: SpecSource) -> Spec:
    """Return the spec of a text. `name` is how errors name it.

    Raises SpecError, UsageError.
    """
    from reconciler.spec import load_spec

    spec = load_spec(_decoded(content, name), file=name, environment=source.environment)
    check_only((spec,), source.only)
    return reduced(_with_builds(spec, source), source.app)


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
        metadata = {**pool.config.metadata, _LOCAL_CONTEXT: context}
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
        raise UsageError(
            f"{name!r} is a service, not a task", hint="services run by themselves: see `reconciler status`"
        )
    names = [task.name for task in spec.tasks]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the spec's tasks: {', '.join(names) or 'none'}"
    raise UsageError(f"{spec.file} has no task {name!r}", hint=hint)


def named_file(source: SpecSource) -> str | None:
    """Return the file that the source or its environment names.

    Raises UsageError if the directory does not exist.
    """
    directory = source.directory or Path.cwd()
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a directory")
    return source.file or source.environment.get("RECONCILER_FILE")


def _read(source: SpecSource) -> tuple[str, bytes]:
    named, directory = named_file(source), source.directory or Path.cwd()
    path = directory / named if named else _search(directory)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {named or path}: {error.strerror}", hint="name the spec with --file") from error
    return os.path.relpath(path), content


def _decoded(content: bytes, name: str) -> str:
    """Return the text of a spec. Raises UsageError if it is too large, or no text."""
    if len(content) > MAX_BYTES:
        raise UsageError(f"{name} is larger than {MAX_BYTES // 2**20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}:{line}: not UTF-8 text") from error


def _search(start: Path) -> Path:
    for directory in (start.resolve(), *start.resolve().parents):
        for name in _NAMES:
            if (directory / name).is_file():
                return directory / name
        if (directory / ".git").exists():
            break
    raise UsageError(
        "no machines.yaml here or up to the repository's root", hint="write one, or name the spec with --file"
    )


def check_only(specs: Iterable[Spec], only: Collection[str]) -> None:
    """Raise UsageError where `only` names a pool that none of the specs has."""
    specs = list(specs)
    known = {pool.name for spec in specs for pool in spec.pools}
    for name in only:
        if name not in known:
            raise UsageError(
                f"{specs[-1].file} has no pool {name!r}", hint=f"its pools: {', '.join(sorted(known)) or 'none'}"
            )


def reduced(spec: Spec, app: str | None) -> Spec:
    """Return the spec with only this app, by name or label; all of it if None.

    Raises UsageError.
    """
    if app is None:
        return spec
    chosen = tuple(one for one in spec.apps if app in {one.name, one.label})
    if not chosen:
        names = ", ".join(one.label for one in spec.apps)
        raise UsageError(f"{spec.file} has no app {app!r}", hint=f"its apps: {names}")
    return replace(spec, apps=chosen)
