"""Find and read what a first spec is made from."""

import enum
import json
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from reconciler.errors import SpecError, UsageError
from reconciler.model.spec import Diagnostic, Place
from reconciler.operations.spec_files import decoded

if TYPE_CHECKING:
    from reconciler.drafts.dockerfile import ImageCommand

_FLY_FILES: Final = ("fly.toml", "fly.json", "fly.yaml")
DOCKERFILE: Final = "Dockerfile"
_MAX_BYTES: Final = 1024 * 1024
_MAX_LOCAL_FILE: Final = 256 * 1024
_TOML_PLACE: Final = r"\(at (?:line (\d+), column (\d+)|end of document)\)$"
_SETTING: Final = re.compile(r"""[\s{,]*(?:[\w.-]+|"[^"]*"|'[^']*')\s*[=:]""")


class OriginKind(enum.Enum):
    """What a first spec is made from."""

    FLY = "fly"
    DOCKERFILE = "dockerfile"
    NOTHING = "nothing"


class Origin(Struct, frozen=True, kw_only=True):
    """What was found. `document` is that of a fly.toml; `words` name it to the user."""

    kind: OriginKind
    words: str
    document: Mapping[str, Any] | None = None
    dockerfile: Path | None = None
    framework_file: str | None = None


def find_origin(directory: Path, source: str | None) -> Origin:
    """Return what the spec is made from: the named `source`, else what is there.

    Raises UsageError, and SpecError with the place for what cannot be parsed.
    """
    dockerfile = directory / DOCKERFILE
    beside = dockerfile if dockerfile.is_file() else None
    name = source or next((one for one in _FLY_FILES if _is_there(directory / one)), None)
    if name and not _is_dockerfile(name):
        document = _parsed(read_text(directory / name, name), name)
        return Origin(kind=OriginKind.FLY, words=name, document=document, dockerfile=beside)
    if name:
        return Origin(kind=OriginKind.DOCKERFILE, words=name, dockerfile=directory / name)
    from reconciler.drafts.starters import FRAMEWORK_FILES

    framework = next((one for one in FRAMEWORK_FILES if (directory / one).is_file()), None)
    kind = OriginKind.DOCKERFILE if beside else OriginKind.NOTHING
    words = DOCKERFILE if beside else framework or "nothing"
    return Origin(kind=kind, words=words, dockerfile=beside, framework_file=framework)


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _is_dockerfile(name: str) -> bool:
    base = Path(name).name.lower()
    return base.startswith("dockerfile") or base.endswith(".dockerfile")


def read_text(path: Path, name: str) -> str:
    """Return the text of a file of at most 1 MiB. Raises UsageError."""
    content = _read(path, name, _MAX_BYTES)
    if len(content) > _MAX_BYTES:
        raise UsageError(f"{name} is larger than {_MAX_BYTES // 2**20} MiB", hint="it is no file to make a spec from")
    return decoded(content, name)


def _read(path: Path, name: str, most: int) -> bytes:
    """Return the first bytes of a regular file: `most` and one more."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # before it is opened: a pipe would be waited for
            what = "a directory" if stat.S_ISDIR(mode) else "no regular file"
            raise UsageError(f"cannot read {name}: it is {what}", hint="name another with --from FILE")
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}", hint="name another with --from FILE") from error


def read_dockerfile(origin: Origin) -> "ImageCommand":
    """Return what the image of the origin's Dockerfile runs."""
    from reconciler.drafts.dockerfile import command_of

    assert origin.dockerfile is not None
    return command_of(read_text(origin.dockerfile, origin.dockerfile.name))


def read_local_files(directory: Path, document: Mapping[str, Any]) -> dict[str, bytes | None]:
    """Return the contents of the local files that a fly.toml names.

    None for one that cannot be read or is too large for a spec.
    """
    found: dict[str, bytes | None] = {}
    files = document.get("files")
    for file in files if isinstance(files, list) else [files]:
        path = file.get("local_path") if isinstance(file, Mapping) else None
        if isinstance(path, str) and path:
            found[path] = _local_file(directory / path)
    return found


def _local_file(path: Path) -> bytes | None:
    try:
        content = _read(path, path.name, _MAX_LOCAL_FILE)
    except (UsageError, ValueError):  # a path with a NUL is none
        return None
    return content if len(content) <= _MAX_LOCAL_FILE else None


def _parsed(text: str, name: str) -> Mapping[str, Any]:
    try:
        document = _READERS.get(Path(name).suffix, _read_toml)(text, name)
    except RecursionError:
        raise UsageError(f"{name} is nested too deep", hint="name another with --from FILE") from None
    except ValueError:  # of Python's limit on the digits of an integer
        raise UsageError(f"{name} has a number of too many digits", hint="name another with --from FILE") from None
    if not isinstance(document, Mapping):
        raise UsageError(f"{name} is no table of settings", hint="name another with --from FILE")
    return document


def _read_toml(text: str, name: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = re.search(_TOML_PLACE, message)
        lines = text.split("\n")
        line, column = (int(place[1]), int(place[2])) if place and place[1] else (len(lines), len(lines[-1]) + 1)
        said = re.sub(_TOML_PLACE, "", message).rstrip()
        raise _broken(text, name, line, column, f"not TOML: {said[:1].lower()}{said[1:]}") from None


def _read_json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _broken(text, name, error.lineno, error.colno, f"not JSON: {error.msg}") from None


def _read_yaml(text: str, name: str) -> Any:
    from reconciler.spec.diagnostics import Findings
    from reconciler.spec.document import parse_document
    from reconciler.spec.yaml_nodes import plain_value

    findings = Findings()
    root = parse_document(name, text.replace("\r\n", "\n"), findings)
    findings.raise_if_any()
    return {} if root is None else plain_value(root)


_READERS: Final = {".json": _read_json, ".yaml": _read_yaml, ".yml": _read_yaml}


def _broken(text: str, name: str, line: int, column: int, message: str) -> SpecError:
    """Return the error with its line, but without a value that may be secret."""
    place = Place(file=name, line=line, column=column)
    return SpecError([Diagnostic(place=place, message=message, source_line=_shown(text.split("\n")[line - 1]))])


def _shown(line: str) -> str | None:
    """Return the line, its key alone if its value may be secret.

    Without a key it goes on with what an earlier line began. It is not shown then if it may be secret.
    """
    from reconciler.drafts.secret_values import is_secret_name, looks_secret

    setting = _SETTING.match(line)
    key, value = (setting[0], line[setting.end() :].rstrip()) if setting else ("", line.rstrip())
    if looks_secret(key, value) or is_secret_name(value):
        return f"{key} …" if key else None
    return key + value
