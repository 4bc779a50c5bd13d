"""Find and read the files of a spec: the spec itself, and the overlays over it.

The spec is the named file, else machines.yaml: it is looked for here and in each directory above, up to the
repository's root. The overlay of an environment is the file next to it that has the environment in its name.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from reconciler.errors import UsageError
from reconciler.hidden import HidesFields
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import ENVIRONMENT

STDIN: Final = "<stdin>"
MAX_BYTES: Final = 8 * 1024 * 1024
_NAMES: Final = ("machines.yaml", "machines.yml")
_ENVIRONMENT_NAME: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"

ReadFile = Callable[[str], bytes | None]  # by name; None where there is no such file


class UnknownEnvironmentError(UsageError):
    """The spec has no such environment: neither an overlay nor the variable."""


class NoSpecError(UsageError):
    """No file is named, and there is none of the usual name."""


class SpecSource(HidesFields, frozen=True, kw_only=True):
    """Which spec is meant, how much of it, and the environment that it is read in.

    `file` is seen from `directory`, which is the working directory where it is None. `overlays` are files that lie over
    it, the last one on top; - is stdin, whose content is `stdin`. `environment_name` is what --environment says; by
    default RECONCILER_ENVIRONMENT says it. `target` is the target's name, since images are built for the
    local one in another way. `app` reduces the spec to one app, by default to the one that the variable `app_variable`
    names; `selection` names pools that it must have.
    """

    _hidden = frozenset({"environment", "stdin"})

    environment: Mapping[str, str]
    file: str | None = None
    overlays: tuple[str, ...] = ()
    environment_name: str | None = None
    directory: Path | None = None
    target: str | None = None
    app: str | None = None
    app_variable: str | None = None
    selection: Selection = WHOLE
    stdin: bytes | None = None


def named_files(source: SpecSource) -> tuple[str, ...]:
    """Return the files that the source or its environment names, the spec first.

    Raises UsageError if the directory does not exist.
    """
    directory = source.directory or Path.cwd()
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a directory", hint="-C names the directory of the spec")
    file = source.file or source.environment.get("RECONCILER_FILE")
    named = (*((file,) if file else ()), *source.overlays)
    if named.count("-") > 1:
        raise UsageError("only one of the files can be stdin", hint="write the other one to a file")
    return named


def read_named(source: SpecSource) -> list[tuple[str, bytes]]:
    """Return the names, as errors have them, and contents of these files.

    Without any, find the spec. Raises UsageError.
    """
    directory = source.directory or Path.cwd()
    named = named_files(source)
    if not named:
        return [_read(_search(directory))]
    return [_read_stdin(source) if name == "-" else _read(directory / name, name) for name in named]


def find_spec(source: SpecSource) -> Path:
    """Return where the spec is if no file is named. Raises NoSpecError."""
    return _search(source.directory or Path.cwd())


def environment_of(source: SpecSource) -> str | None:
    """Return the environment's name; None without one. Raises UsageError."""
    if source.environment_name is not None:
        name, where = source.environment_name, ""
    else:
        name, where = source.environment.get(ENVIRONMENT, ""), f"{ENVIRONMENT}: "
        if not name:  # a variable of a pipeline that is not set is empty
            return None
    if problem := problem_of_environment(name):
        raise UsageError(f"{where}{problem}", hint=hint_for_environment(name))
    return name


def problem_of_environment(name: str) -> str | None:
    """Say why this cannot be an environment's name; None if it can.

    It becomes part of names of apps and files.
    """
    if not name:
        return "the environment's name is empty: is a variable not set?"
    if re.fullmatch(_ENVIRONMENT_NAME, name):
        return None
    return f"{name!r} cannot be an environment's name: it has small letters, digits and dashes, at most 63"


def hint_for_environment(name: str) -> str | None:
    """Return the name that was probably meant, as for a branch; None if none was."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")
    return f"did you mean `{slug}`?" if slug else None


def variables_of(source: SpecSource, environment: str | None) -> Mapping[str, str]:
    """Return the variables of the spec, RECONCILER_ENVIRONMENT among them."""
    others = {name: value for name, value in source.environment.items() if name != ENVIRONMENT}
    return others if environment is None else {**others, ENVIRONMENT: environment}


def find_overlay(spec_name: str, environment: str, read: ReadFile) -> tuple[str, bytes] | None:
    """Return the overlay of the environment, by its name; None if there is none.

    `read` reads files next to the spec. Raises UsageError if there are two.
    """
    first = _overlay_name(spec_name, environment)
    names = [first, first.removesuffix(".yaml") + ".yml"]
    found = [(name, content) for name in names if (content := read(name)) is not None]
    if len(found) > 1:
        raise UsageError(f"there are both {names[0]} and {names[1]}", hint="keep one of them")
    return found[0] if found else None


def reader_beside(source: SpecSource, spec_name: str) -> ReadFile:
    """Return what reads files next to a spec on disk.

    Those of a spec on stdin are in the source's directory.
    """
    base = (source.directory or Path()) if spec_name == STDIN else Path()

    def read(name: str) -> bytes | None:
        path = base / name
        return _read(path)[1] if path.exists() else None

    return read


def overlaid_by(source: SpecSource) -> tuple[str, str] | None:
    """Return the spec that the source's file lies over, and its environment.

    It is known by the names of both; None if the file is no overlay.
    """
    path = (source.directory or Path()) / (source.file or "")
    found = re.fullmatch(rf"(.+)\.({_ENVIRONMENT_NAME})\.ya?ml", path.name)
    specs = [path.with_name(f"{found[1]}{suffix}") for suffix in (".yaml", ".yml")] if found else []
    spec = next((one for one in specs if one.is_file()), None)
    return (os.path.relpath(spec), found[2]) if spec and found else None


def environments_beside(source: SpecSource, spec_name: str) -> list[str]:
    """Return the environments that have an overlay next to the spec on disk."""
    stem = Path(_stem(spec_name))
    directory = (source.directory or Path()) if spec_name == STDIN else stem.parent
    pattern = re.compile(rf"{re.escape(stem.name)}\.({_ENVIRONMENT_NAME})\.ya?ml")
    try:
        return sorted({found[1] for file in directory.iterdir() if (found := pattern.fullmatch(file.name))})
    except OSError:
        return []


def unknown_environment(spec_name: str, environment: str, others: Collection[str]) -> UnknownEnvironmentError:
    """Return the error for an environment that the spec does not have.

    `others` are those with an overlay.
    """
    why = f"there is no {_overlay_name(spec_name, environment)}, and the spec does not use ${{{ENVIRONMENT}}}"
    near = _nearest(environment, others)
    use = f"write that file, or use the variable: `name: shop-${{{ENVIRONMENT}}}`"
    return UnknownEnvironmentError(
        f"{spec_name} has no environment {environment!r}: {why}", hint=f"did you mean `{near}`?" if near else use
    )


def misspelt_warnings(spec_name: str, environment: str, others: Collection[str]) -> tuple[str, ...]:
    """Return a warning for an environment that is probably misspelt.

    It has no overlay, and one that is spelled like it has.
    """
    if near := _nearest(environment, others):
        return (f"there is no {_overlay_name(spec_name, environment)}; did you mean the environment `{near}`?",)
    return ()


def _nearest(environment: str, others: Collection[str]) -> str | None:
    """Return the environment that was probably meant; None if none is like it."""
    import difflib  # only for a misspelt name

    return next(iter(difflib.get_close_matches(environment, others, n=1, cutoff=0.75)), None)


def _overlay_name(spec_name: str, environment: str) -> str:
    return f"{_stem(spec_name)}.{environment}.yaml"


def decoded(content: bytes, name: str) -> str:
    """Return the text of a file. Raises UsageError if it is too large, or no text."""
    if len(content) > MAX_BYTES:
        raise UsageError(
            f"{name} is larger than {MAX_BYTES // 2**20} MiB", hint="is it a spec? -f FILE names another file"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}:{line}: not UTF-8 text", hint="save it as UTF-8; is it a spec?") from error


def _stem(spec_name: str) -> str:
    return "machines" if spec_name == STDIN else spec_name.removesuffix(Path(spec_name).suffix)


def _read_stdin(source: SpecSource) -> tuple[str, bytes]:
    if source.stdin is None:
        raise UsageError("cannot read -", hint="name the spec's file")
    return STDIN, source.stdin


def _read(path: Path, name: str | None = None) -> tuple[str, bytes]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        from reconciler.operations.file_errors import cannot_read, yaml_files

        hint = f"it was looked for in {path.parent.absolute()}; `reconciler init` writes a first spec"
        raise cannot_read(name or path, error, known=yaml_files(path.parent), hint=hint) from error
    return os.path.relpath(path), content


def _search(start: Path) -> Path:
    for directory in (start.resolve(), *start.resolve().parents):
        for name in _NAMES:
            if (directory / name).is_file():
                return directory / name
        if (directory / ".git").exists():
            break
    from reconciler.operations.file_errors import no_spec

    why, hint = no_spec(start.resolve())
    raise NoSpecError(why, hint=hint)
