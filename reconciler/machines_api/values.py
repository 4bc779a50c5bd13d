"""The JSON of an answer, read once into values that no later code fails at.

What JSON allows and a reader may choke on is settled here: numbers without a bound, nesting without a bound, halves of
surrogate pairs. Of a member that is given twice the last one counts, as in Go.
"""

import json
import math
import re
from datetime import UTC, datetime
from typing import Any, Final

_DEEPEST: Final = 40  # levels of a config; the API's own have less than ten
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class MalformedError(ValueError):
    """An answer that is JSON, but not what the API gives. The message says what was expected."""


def json_of(content: bytes) -> Any:
    """Return the value. A number that no computation should meet (infinite, thousands of digits) stays its text.

    Raises ValueError where it is no JSON, MalformedError where it is nested too deeply to be read.
    """
    text = content.decode("utf-8-sig", "replace")
    try:
        value = _loaded(text)
        if "\\ud" in text or "\\uD" in text:  # Go writes U+FFFD for half a pair, and so should nobody send one
            value = _loaded(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode())
    except RecursionError as error:
        raise MalformedError("less nesting") from error
    return value


def text_of(value: Any) -> str:
    """Return a text, or a number's text; "" for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def object_of(value: Any, what: str) -> dict[str, Any]:
    """Return the map. Raises MalformedError where it is none, and `what` was expected."""
    if not isinstance(value, dict):
        raise MalformedError(what)
    return value


def list_of(value: Any) -> list[Any]:
    """Return the list; an empty one where it is none."""
    return value if isinstance(value, list) else []


def is_id(value: Any) -> bool:
    """Whether it is a machine's id, which can stand in a path."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def is_deep(value: Any) -> bool:
    """Whether maps and lists are nested deeper than those of any config."""
    level = [value]
    for _ in range(_DEEPEST):
        members = (one.values() if isinstance(one, dict) else one for one in level)
        level = [member for group in members for member in group if isinstance(member, dict | list)]
        if not level:
            return False
    return True


def time_of(value: Any) -> datetime | None:
    """A time given as RFC 3339, seconds or milliseconds; None where it is none of them."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
        if isinstance(value, str) and value:
            at = datetime.fromisoformat(value.replace(" UTC", ""))
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, parse_float=_float, parse_constant=str)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than Python reads
        return json.loads(text, parse_float=_float, parse_constant=str, parse_int=_integer)


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _integer(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text
