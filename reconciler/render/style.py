"""Colours, symbols, and what foreign text must go through before it is shown."""

import hashlib
import json
from typing import Any, Final

from reconciler.model.plan import Action

FORMAT_VERSION: Final = "1.0"

SYMBOLS: Final = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.REPLACE: "-/+",
    Action.DESTROY: "-",
    Action.ADOPT: "+~",
    Action.START: ">",
    Action.NONE: " ",
}
_COLOURS: Final = {
    "+": "32",
    "~": "33",
    "+~": "33",
    "-/+": "35",
    "-": "31",
    ">": "36",
    "=": "34",
    "!": "33",
    "error": "31;1",
}
_VALUE_LIMIT: Final = 120


def paint(text: str, symbol: str, *, color: bool) -> str:
    """The text in the symbol's colour; the symbol itself carries the meaning without it."""
    code = _COLOURS.get(symbol)
    return f"\x1b[{code}m{text}\x1b[0m" if color and code else text


def clean(text: str, limit: int = 500) -> str:
    """Foreign text on one line, without control characters, at most `limit` characters."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    folded = " ".join(printable.split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def masked(value: Any, salt: str) -> str | None:
    """A secret value as a digest that shows whether it changed, within one output only; None where there is none."""
    if value is None:
        return None
    text = json.dumps(value, sort_keys=True, default=str)
    return f"(masked, {hashlib.sha256((salt + text).encode('utf-8', 'surrogatepass')).hexdigest()[:8]})"


def shown(value: Any, *, is_secret: bool, salt: str) -> str:
    """A field's value as a plan's text shows it."""
    if value is None:
        return "(none)"
    if is_secret:
        return masked(value, salt) or ""
    text = value if isinstance(value, str) else json.dumps(hidden(value, salt), ensure_ascii=False, sort_keys=True)
    return clean(text, _VALUE_LIMIT)


def hidden(value: Any, salt: str, *, is_secret: bool = False) -> Any:
    """The value with everything below `env`, `raw_value` and `values` masked, wherever it stands."""
    if is_secret and not isinstance(value, dict | list):
        return masked(value, salt)
    if isinstance(value, dict):
        return {
            key: hidden(member, salt, is_secret=is_secret or key in {"env", "raw_value", "values"})
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [hidden(member, salt, is_secret=is_secret) for member in value]
    return value
