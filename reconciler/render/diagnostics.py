"""Errors as people and programs read them: where, what, the line itself, what to do."""

from collections.abc import Sequence
from typing import Any

from reconciler.model.diagnostic import Diagnostic
from reconciler.render.redact import clean
from reconciler.render.style import paint

_LINE_LIMIT = 160


def diagnostics_text(diagnostics: Sequence[Diagnostic], *, color: bool = False) -> str:
    """Each error with its place, its line and a caret, then how many there are."""
    count = len(diagnostics)
    blocks = [_block(diagnostic, color) for diagnostic in diagnostics]
    return "\n".join([*blocks, f"{count} error{'' if count == 1 else 's'}"])


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
    """One error and what to do about it."""
    return f"error: {clean(message, 1000)}" + (f"\n  {clean(hint, 1000)}" if hint else "")


def _block(diagnostic: Diagnostic, color: bool) -> str:
    error = paint("error:", "error", color=color)
    lines = [f"{diagnostic.place}: {error} {clean(diagnostic.message)}"]
    if diagnostic.source_line is not None and diagnostic.source_line.strip():
        line = "".join(character if character.isprintable() else " " for character in diagnostic.source_line)
        lines.append(f"    {line[:_LINE_LIMIT]}")
        if diagnostic.place.column <= _LINE_LIMIT:
            lines.append(f"    {' ' * (diagnostic.place.column - 1)}^")
    if diagnostic.hint:
        lines.append(f"    {clean(diagnostic.hint)}")
    return "\n".join(lines)
