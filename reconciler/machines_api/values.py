"""Parse the JSON of a reply into values that no later code fails on.

JSON allows numbers and nesting without a limit, and single surrogates; all three are handled here. If a member is given
twice, the last one counts, as in Go.
"""

import json
import math
import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

_CONTAINERS: Final = (dict, list)
_DEEPEST: Final = 40  # levels of a config; the API's own have less than ten
_MEMBERS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class MalformedError(ValueError):
    """A reply is JSON, but not what the API sends; the message says what it expected."""


def json_of(content: bytes) -> Any:
    """Parse JSON.

    A number that is infinite or has thousands of digits stays a string. Raises ValueError if it is not JSON,
    MalformedError if it is nested too deeply.
    """
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return _tolerant(content)  # all that the faster parser refuses; what both read, they read alike


def members_of(content: bytes) -> Any:
    """Parse JSON like `json_of`, but each member of a list when it is asked for.

    A list becomes an iterator. So the objects of one member at a time are there, which the processor's caches hold.
    """
    try:
        members = _MEMBERS.decode(content)
    except (msgspec.MsgspecError, RecursionError):
        value = json_of(content)
        return iter(value) if isinstance(value, list) else value
    return (json_of(bytes(member)) for member in members)


def text_of(value: Any) -> str:
    """Return a string, or a number as a string; "" for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def object_of(value: Any, what: str) -> dict[str, Any]:
    """Return the object.

    Raises MalformedError, which names `what`, for anything else.
    """
    if not isinstance(value, dict):
        raise MalformedError(what)
    return value


def list_of(value: Any) -> list[Any]:
    """Return the list; an empty one for anything else."""
    return value if isinstance(value, list) else []


def is_id(value: Any) -> bool:
    """Return whether it is a machine's id, which can be part of a URL's path."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def is_deep(value: Any) -> bool:
    """Return whether objects and lists are nested deeper than in any config."""
    level = [value]
    for _ in range(_DEEPEST):
        groups = (one.values() if isinstance(one, dict) else one for one in level)
        level = [member for group in groups for member in group if isinstance(member, _CONTAINERS)]
        if not level:
            return False
    return True


def time_of(value: Any) -> datetime | None:
    """Parse a time in RFC 3339, seconds or milliseconds; None for anything else."""
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


def _tolerant(content: bytes) -> Any:
    text = content.decode("utf-8-sig", "replace")
    try:
        value = _loaded(text)
        if "\\ud" in text or "\\uD" in text:  # a single surrogate cannot be encoded: replace it, as Go does
            value = _loaded(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode())
    except RecursionError as error:
        raise MalformedError("less nesting") from error
    return value


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
