"""Show errors to people, programs and pipelines: where, what, and what to do.

GitHub shows its workflow commands at the spec's line in a pull request, and on the job's page.
"""

from collections.abc import Sequence
from typing import Any, Final

from reconciler.model.spec import Diagnostic
from reconciler.render.redact import clean, defused, printable
from reconciler.render.style import paint

_LINE_LIMIT = 160
_DATA: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY: Final = _DATA | {":": "%3A", ",": "%2C"}


def diagnostics_text(diagnostics: Sequence[Diagnostic], *, more: int = 0, color: bool = False) -> str:
    """Show each error with its place, line and a caret, then how many there are.

    `more` counts errors that are not shown.
    """
    count = len(diagnostics) + more
    blocks = [_block(diagnostic, color) for diagnostic in diagnostics]
    left_out = [f"… and {more} more"] if more else []
    return "\n".join([*blocks, *left_out, f"{count} error{'' if count == 1 else 's'}"])


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


def error_text(message: str, hint: str | None) -> str:
    """Show one error and what to do about it."""
    return f"error: {clean(message, 1000)}" + (f"\n  {clean(hint, 1000)}" if hint else "")


def _block(diagnostic: Diagnostic, color: bool) -> str:
    error = paint("error:", "error", color=color)
    lines = [f"{clean(str(diagnostic.place))}: {error} {clean(diagnostic.message)}", *_excerpt(diagnostic)]
    if diagnostic.hint:
        lines.append(f"    {clean(diagnostic.hint)}")
    return "\n".join(lines)


def _excerpt(diagnostic: Diagnostic) -> list[str]:
    """Show the line behind its number, and a caret under the place.

    The number keeps foreign text from the start of a line, where it could be a command.
    """
    text = diagnostic.source_line
    if text is None or not text.strip():
        return []
    number = f"{diagnostic.place.line} | "
    shown = printable(text[:_LINE_LIMIT]) + ("…" if len(text) > _LINE_LIMIT else "")
    lines = [f"  {number}{defused(shown)}"]
    if diagnostic.place.column <= min(_LINE_LIMIT, len(text)):
        lines.append(f"  {' ' * (len(number) - 2)}| {' ' * (diagnostic.place.column - 1)}^")
    return lines


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
