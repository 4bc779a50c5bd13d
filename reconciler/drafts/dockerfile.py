"""Read from a Dockerfile what its image runs.

That is ENTRYPOINT, CMD and the first EXPOSE of its last stage. What a base image declares is not known here.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

_ESCAPE: Final = re.compile(r"#\s*escape\s*=\s*(\S)\s*", re.IGNORECASE)
_DIRECTIVE: Final = re.compile(r"#\s*\w+\s*=")
_INSTRUCTION: Final = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_HEREDOC: Final = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
_FROM: Final = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_SHELL: Final = ("/bin/sh", "-c")


class ImageCommand(Struct, frozen=True):
    """What an image runs; empty where only its base image may say it."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    port: int | None = None
    _has_own_command: bool = False


def command_of(dockerfile: str) -> ImageCommand:
    """Return what the image of the Dockerfile runs."""
    stages: dict[str, ImageCommand] = {}
    image, name = ImageCommand(), ""
    shell: tuple[str, ...] = _SHELL
    for instruction, rest in _instructions(dockerfile):
        match instruction:
            case "FROM":
                found = _FROM.match(rest)
                base, name = (found[1].lower(), (found[2] or "").lower()) if found else ("", "")
                image, shell = replace(stages.get(base, ImageCommand()), _has_own_command=False), _SHELL
            case "SHELL":
                shell = _exec_form(rest) or shell
            case "CMD":
                image = replace(image, command=_words(rest, shell), _has_own_command=True)
            case "ENTRYPOINT":
                kept = image.command if image._has_own_command else ()
                image = replace(image, entrypoint=_words(rest, shell), command=kept)
            case "EXPOSE" if image.port is None:
                image = replace(image, port=_first_port(rest))
        stages[name] = image
    is_shell = image.entrypoint[:2] == _SHELL and len(image.entrypoint) == 3
    return replace(image, command=()) if is_shell else image  # then CMD is not passed


def _words(rest: str, shell: tuple[str, ...]) -> tuple[str, ...]:
    found = _exec_form(rest)
    return (*shell, rest.strip()) if found is None else found


def _exec_form(rest: str) -> tuple[str, ...] | None:
    try:
        found = json.loads(rest)
    except ValueError:
        return None
    return tuple(found) if isinstance(found, list) and all(isinstance(one, str) for one in found) else None


def _first_port(rest: str) -> int | None:
    number = rest.split()[0].partition("/")[0] if rest.split() else ""
    return int(number) if number.isdecimal() and 1 <= int(number[:6]) <= 65535 else None


def _instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction in capitals, and what stands behind it."""
    lines = dockerfile.removeprefix("\ufeff").splitlines()
    escape = next((found[1] for line in _directives(lines) if (found := _ESCAPE.fullmatch(line.strip()))), "\\")
    logical, until = "", ""
    for line in lines:
        if until:
            until = "" if line.strip() == until else until
            continue
        if line.lstrip().startswith("#") or (logical and not line.strip()):
            continue
        logical += line
        if line.rstrip().endswith(escape):
            logical = logical.rstrip()[: -len(escape)]
            continue
        if found := _INSTRUCTION.fullmatch(logical):
            heredoc = _HEREDOC.search(found[2]) if found[1].upper() in {"RUN", "COPY", "ADD"} else None
            until = heredoc[1] if heredoc else ""
            yield found[1].upper(), found[2]
        logical = ""


def _directives(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if not _DIRECTIVE.match(line.strip()):
            return
        yield line
