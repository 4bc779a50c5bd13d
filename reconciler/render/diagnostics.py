"""Show errors to people, programs and pipelines: where, what, and what to do.

GitHub shows its workflow commands at the spec's line in a pull request, and on the job's page.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import replace

from reconciler.errors import ReconcilerError, SpecError, words_of
from reconciler.model.counted import counted
from reconciler.model.spec import Diagnostic
from reconciler.render.redact import clean, defused, printable
from reconciler.render.style import columns, wrapped

_LINE_LIMIT: Final = 160  # characters of a spec's line
_NARROWEST: Final = 20
_LONGEST: Final = 1000  # characters of a message
_DATA: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY: Final = _DATA | {":": "%3A", ",": "%2C"}


def diagnostics_text(diagnostics: Sequence[Diagnostic], *, more: int = 0, width: int | None = None) -> str:
    """Show each error with its place, line and a caret, then how many there are.

    `more` counts errors that are not shown. `width` is that of the terminal, None without one.
    """
    count = len(diagnostics) + more
    blocks = [_block(diagnostic, "error", width) for diagnostic in diagnostics]
    left_out = [f"… and {more} more"] if more else []
    return "\n".join([*blocks, *left_out, counted(count, "error")])


def warning_text(diagnostic: Diagnostic, *, width: int | None = None) -> str:
    """Show a warning with its place, line and a caret."""
    return _block(diagnostic, "warning", width)


def diagnostics_json(diagnostics: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    return [
        {
            "file": diagnostic.place.file,
            "line": diagnostic.place.line,
            "column": diagnostic.place.column,
            "message": clean(diagnostic.message),
            "hint": clean(diagnostic.hint) if diagnostic.hint else None,
        }
        for diagnostic in diagnostics
    ]


def failure_json(error: Exception, exit_code: int) -> dict[str, Any]:
    """Return the error that ended a verb as JSON; a spec's errors with their places."""
    hint = error.hint if isinstance(error, ReconcilerError) else None
    told: dict[str, Any] = {"message": words_of(error), "hint": hint, "exit_code": exit_code}
    if isinstance(error, SpecError):
        told |= {"message": error.summary, "errors": diagnostics_json(error.diagnostics), "more_errors": error.more}
    elif isinstance(error, ReconcilerError) and error.at:
        found = replace(error.at, message=error.message, hint=error.hint)
        told |= {"errors": diagnostics_json((found,)), "more_errors": 0}
    return told | {"message": clean(told["message"], _LONGEST), "hint": clean(hint, _LONGEST) if hint else None}


def error_text(message: str, hint: str | None, *, width: int | None = None) -> str:
    """Show one error and what to do about it."""
    return "\n".join([*wrapped(f"error: {clean(message, _LONGEST)}", width), *_hint(hint, width, indent=2)])


def _block(diagnostic: Diagnostic, what: str, width: int | None) -> str:
    head = wrapped(f"{clean(str(diagnostic.place))}: {what}: {clean(diagnostic.message)}", width)
    return "\n".join([*head, *_excerpt(diagnostic, width), *_hint(diagnostic.hint, width)])


def _hint(hint: str | None, width: int | None, *, indent: int = 4) -> list[str]:
    return wrapped(clean(hint, _LONGEST), width, indent=indent, hanging=0) if hint else []


def _excerpt(diagnostic: Diagnostic, width: int | None) -> list[str]:
    """Show the line behind its number, and a caret under the place.

    The number keeps foreign text from the start of a line, where it could be a command. Of a long line the part around
    the place is shown. If the place itself may not be seen, the caret is under the sign that stands for it.
    """
    text = diagnostic.source_line
    if text is None or not text.strip():
        return []
    number = f"{diagnostic.place.line} | "
    most = min(_LINE_LIMIT, max(width - len(number) - 2, _NARROWEST)) if width else _LINE_LIMIT
    at = min(diagnostic.place.column, len(text)) - 1
    begins, ends = _window(text, at, most)
    shown, before = printable(text[begins:ends]), printable(text[begins:at])
    start, end = "…" if begins else "", "…" if ends < len(text) else ""
    spaces = " " * (len(start) + columns(before) + _added(shown, len(before)))
    return [f"  {number}{start}{defused(shown)}{end}", f"  {' ' * (len(number) - 2)}| {spaces}^"]


def _window(text: str, at: int, most: int) -> tuple[int, int]:
    """Return the part of a line around a place that is `most` columns wide.

    Letters of East Asia take two columns each. There is room for an ellipsis on either side.
    """
    begins, ends = 0, min(len(text), at + most)
    if columns(text[:at]) >= most - 1:
        begins = max(0, at - most // 2)
        while columns(text[begins:at]) > most // 2:
            begins += 1
    while columns(text[begins:ends]) > most - (begins > 0) - (ends < len(text)):
        ends -= 1
    return begins, ends


def _added(shown: str, until: int) -> int:
    """Return how many spaces `defused` adds before a place of the text."""
    return len(defused(shown[: until + 2])) - len(shown[: until + 2])


def error_annotation(message: str, *, hint: str | None = None) -> str:
    """Annotate an error that has no place in the spec."""
    return _command(_text(message, hint), {"title": "reconciler"})


def diagnostic_annotation(diagnostic: Diagnostic, *, file: str) -> str:
    """Annotate an error at its place in the spec.

    `file` is the spec's path from the repository's root.
    """
    place = diagnostic.place
    properties = {"file": file, "line": str(place.line), "col": str(place.column), "title": "reconciler"}
    return _command(_text(diagnostic.message, diagnostic.hint), properties)


def _text(message: str, hint: str | None) -> str:
    return clean(message) + (f"\n{clean(hint)}" if hint else "")


def _command(data: str, properties: dict[str, str]) -> str:
    named = ",".join(f"{name}={_escaped(clean(value), _PROPERTY)}" for name, value in properties.items())
    return f"::error {named}::{_escaped(data, _DATA)}"


def _escaped(text: str, table: dict[str, str]) -> str:
    return "".join(table.get(character, character) for character in text)
