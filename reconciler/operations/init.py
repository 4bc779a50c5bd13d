"""Write the first spec of a directory.

It is made from a fly.toml, a Dockerfile, or nothing. The draft is proven before anything is written: it loads, and its
configs are those that it is to have. Nothing that is there is ever overwritten.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from reconciler.errors import UsageError
from reconciler.model.regions import LISTED
from reconciler.operations.origins import DOCKERFILE, Origin, OriginKind, find_origin, read_dockerfile, read_local_files

if TYPE_CHECKING:
    from reconciler.drafts.nodes import DraftMap
    from reconciler.model.spec import Spec

DEFAULT_FILE: Final = "machines.yaml"
_OTHER_NAME: Final = {"machines.yaml": "machines.yml", "machines.yml": "machines.yaml"}
_ORG: Final = "personal"
_REGION: Final = "iad"
_ASIDE: Final = frozenset({"image", "metadata", "mounts"})  # a draft leaves them to the user, or says them by itself


class UnknownNameError(UsageError):
    """Nothing says what the app is called, or what says it is no name."""


class InitOptions(Struct, frozen=True, kw_only=True):
    """What is asked for.

    `file` is the spec to write, seen from `directory`; so is `source`, what it is made from. `name`, `org` and `region`
    are what flags and the environment say.
    """

    directory: Path
    file: str = DEFAULT_FILE
    source: str | None = None
    name: str | None = None
    org: str | None = None
    region: str | None = None

    @property
    def path(self) -> Path:
        return self.directory / self.file


class FirstSpec(Struct, frozen=True, kw_only=True):
    """The text of a spec that is proven, and what to tell of it.

    `report` says what of a fly.toml is not in it, `variables` are those that it needs, `task` is one to try.
    """

    text: str
    origin: str
    spec: "Spec"
    report: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    task: str | None = None


def check_free(options: InitOptions) -> None:
    """Raise UsageError if the spec, or one under its other name, is there already."""
    for name in (options.file, _OTHER_NAME.get(options.file)):
        if name and os.path.lexists(options.directory / name):
            raise _taken(name)


def make_first_spec(options: InitOptions) -> FirstSpec:
    """Return the spec to write. Raises UnknownNameError, UsageError, SpecError."""
    if not options.directory.is_dir():
        raise UsageError(f"{options.directory} is not a directory", hint="-C names the directory of the spec")
    from reconciler.drafts.names import is_org_slug

    if options.org and not is_org_slug(options.org):
        raise UsageError(f"{options.org!r} is not an organisation's slug", hint="`fly orgs list` shows yours")
    origin = find_origin(options.directory, options.source)
    if origin.kind is OriginKind.FLY:
        return _from_fly(options, origin)
    from reconciler.drafts.starters import Surroundings, starter

    image = read_dockerfile(origin) if origin.dockerfile else None
    found = Surroundings(
        framework_file=origin.framework_file,
        image=image,
        context=_context(options),
        dockerfile=origin.words if origin.kind is OriginKind.DOCKERFILE else DOCKERFILE,
    )
    name = _name(options, None, origin)
    org, region = options.org or _ORG, options.region if options.region in LISTED else _REGION
    draft, task = starter(found, name=name, org=org, region=region)
    text, spec = _proven(draft, options, {}, {})
    return FirstSpec(text=text, origin=origin.words, spec=spec, task=task)


def _from_fly(options: InitOptions, origin: Origin) -> FirstSpec:
    from reconciler.drafts.fly_toml.draft import Found, draft_of
    from reconciler.drafts.fly_toml.image import Place

    document = origin.document or {}
    said = document.get("app")
    name = _name(options, said if isinstance(said, str) else "", origin)
    found = Found(
        document=document,
        file=origin.words,
        files=read_local_files(options.directory, document),
        place=Place(
            context=_context(options),
            base=str(Path(origin.words).parent),
            has_dockerfile=origin.dockerfile is not None,
        ),
    )
    try:
        made = draft_of(found, name=name, org=options.org, region=options.region)
    except UsageError as error:
        raise UsageError(f"{origin.words}: {error.message}", hint=error.hint) from error
    text, spec = _proven(made.draft, options, made.variables, made.pools)
    return FirstSpec(
        text=text, origin=origin.words, spec=spec, report=made.report, variables=tuple(sorted(made.variables))
    )


def write_new(path: Path, text: str, *, name: str) -> None:
    """Write a file that is not there yet, or none at all. Raises UsageError."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise _taken(name) from None
    except OSError as error:
        from reconciler.operations.file_errors import cannot_write

        raise cannot_write("cannot write", name, error) from error
    is_written = False
    try:
        _write_all(fd, text)
        is_written = True
    except OSError as error:
        raise UsageError(f"cannot write {name}: {error.strerror}", hint="nothing was written") from error
    finally:
        if not is_written:
            with suppress(OSError):
                path.unlink()


def _write_all(fd: int, text: str) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(text.encode())


def _taken(name: str) -> UsageError:
    hint = "edit it, move it away, or name another file: reconciler init -f FILE"
    return UsageError(f"{name} is there already, and is not overwritten", hint=hint)


def _name(options: InitOptions, said: str | None, origin: Origin) -> str:
    """Return the app's name that was asked for.

    Else the fly.toml or the directory says it. Raises UnknownNameError.
    """
    from reconciler.drafts.names import app_name_like, is_app_name

    if options.name is not None:
        if is_app_name(options.name):
            return options.name
        near = app_name_like(options.name)
        hint = f"did you mean {near}?" if near else "pass another with --name"
        raise UnknownNameError(f"an app cannot be called {options.name!r}: small letters, digits and dashes", hint=hint)
    hint = "pass --name NAME: small letters, digits and dashes, which nobody else on Fly has"
    if said is None:
        if name := app_name_like(options.directory.resolve().name):
            return name
        raise UnknownNameError("the directory's name is none for an app", hint=hint)
    if is_app_name(said):
        return said
    problem = f"{said!r} is not an app's name" if said else "it names no app"
    raise UnknownNameError(f"{origin.words}: {problem}", hint=hint)


def _context(options: InitOptions) -> str:
    """Return the directory, as seen from that of the spec."""
    return os.path.relpath(options.directory.absolute(), options.path.absolute().parent)


def _proven(
    draft: "DraftMap", options: InitOptions, variables: Mapping[str, str], pools: Mapping[str, Mapping[str, object]]
) -> "tuple[str, Spec]":
    """Return the text of the draft and the spec that it is read as.

    Raises SpecError, or UsageError if a pool's config would be another than it is to be.
    """
    from reconciler.canonical.normalize import canonical
    from reconciler.drafts.write import write_draft
    from reconciler.model.config import MachineConfig
    from reconciler.spec import load_spec

    try:
        text = write_draft(draft)
    except ValueError as error:
        raise UsageError(str(error), hint="take it out of what the spec is made from") from error
    spec = load_spec(text, file=options.file, environment=variables)
    for pool in spec.pools:
        if pool.name in pools:
            made = canonical(pool.config)
            wanted = canonical(MachineConfig(document=dict(pools[pool.name])))
            for section in sorted((made.keys() | wanted.keys()) - _ASIDE):
                if made.get(section) != wanted.get(section):
                    hint = "this is a fault of this tool: please report it, with the section of the fly.toml"
                    raise UsageError(f"{section} of {pool.name} would not be what fly deploy sends", hint=hint)
    return text, spec
