"""Write errors as GitHub's workflow commands.

GitHub shows them at the spec's line in a pull request, and on the job's page.
"""

from typing import Final

from reconciler.model.diagnostic import Diagnostic
from reconciler.render.redact import clean

_DATA: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY: Final = _DATA | {":": "%3A", ",": "%2C"}


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
