"""Make foreign text harmless and mask secret values before they are shown.

Names, errors and values come from the API, from a spec in a stranger's pull request, from a file. They may hold control
characters for a terminal, and commands for the pipeline whose log they end up in.
"""

import re
from typing import Any, Final

from reconciler.model.secret import Masked
from reconciler.model.unicode import escaped

_VALUE_LIMIT: Final = 120
_READ: Final = 4  # so many times as much is read as is shown: what is cut is cut before it is cleaned
# `::error file=x::text` at the start of a line is a command to GitHub's runner, `##[group]` and `##vso[…]` anywhere
# are commands to it and to others.
_COMMAND: Final = r"(?<!\S):(?=:[A-Za-z-])|#(?=#[a-z]*\[)"
_MASKED: Final = r"\(masked, [0-9a-f]{8}\)"


def clean(text: str, limit: int = 500) -> str:
    """Return foreign text on one line, without control characters and commands.

    At most `limit` characters are left.
    """
    read = text[: limit * _READ]
    folded = " ".join(printable(read).split())
    is_whole = len(folded) <= limit and len(read) == len(text)
    return defused(folded if is_whole else folded[: limit - 1] + "…")


def printable(text: str) -> str:
    """Replace characters that a terminal acts upon, or that hide others, by spaces.

    Bytes that are not UTF-8 are escaped.
    """
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in escaped(text))


def defused(text: str) -> str:
    """Break up by a space whatever a pipeline would take for a command."""
    return re.sub(_COMMAND, lambda found: f"{found[0]} ", text)


def masked(value: Any, salt: str | None) -> Any:
    """Return a secret value as a digest that shows whether it changed.

    None stays None. The salt makes digests differ between outputs. Without a salt the value itself is returned: for a
    terminal whose user asked for it.
    """
    if value is None or salt is None or isinstance(value, Masked):
        return value
    import hashlib
    import json

    text = json.dumps(value, sort_keys=True, default=str)
    return Masked(f"(masked, {hashlib.sha256((salt + text).encode('utf-8', 'surrogatepass')).hexdigest()[:8]})")


def shown(value: Any, *, is_secret: bool = False, salt: str | None, limit: int = _VALUE_LIMIT) -> str:
    """Return a value as people read it, cut if it is long."""
    if value is None:
        return "(none)"
    if is_secret:
        value = masked(value, salt)
    if isinstance(value, str):
        return clean(value, limit)
    import json

    text = json.dumps(hidden(value, salt), ensure_ascii=False, sort_keys=True)
    return clean(text, limit)


def hidden(value: Any, salt: str | None, *, is_secret: bool = False) -> Any:
    """Return the value with everything below a secret member masked."""
    from reconciler.canonical.sections import SECRET_MEMBERS

    return _hidden(value, salt, SECRET_MEMBERS, is_secret=is_secret)


def _hidden(value: Any, salt: str | None, members: frozenset[str], *, is_secret: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: _hidden(member, salt, members, is_secret=is_secret or key in members) for key, member in value.items()
        }
    if isinstance(value, list):
        return [_hidden(member, salt, members, is_secret=is_secret) for member in value]
    return masked(value, salt) if is_secret else value


def as_masked(value: Any) -> Any:
    """Read a value of an output again; what was masked there is marked as such."""
    if isinstance(value, dict):
        return {key: as_masked(member) for key, member in value.items()}
    if isinstance(value, list):
        return [as_masked(member) for member in value]
    return Masked(value) if isinstance(value, str) and re.fullmatch(_MASKED, value) else value
