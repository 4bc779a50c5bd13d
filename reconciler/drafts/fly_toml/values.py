"""Read values of a fly.toml as Go and flyctl read them.

These are text, durations, sizes, and words of commands.
"""

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from reconciler.errors import UsageError

_UNITS_NS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_DURATION_PART: Final = re.compile(r"(?<!\d)(\d++(?:\.\d*+)?|\.\d++)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?(?:([kmgtp])(?:i?b)?|b)?", re.ASCII | re.IGNORECASE)
_WHOLE: Final = re.compile(r"[-+]?\d{1,30}", re.ASCII)
_STEPS: Final = "kmgtp"
_LEAST_EXPONENT: Final = 6  # from which on Go writes one
_MOST: Final = 2**63  # nanoseconds, which no duration has
_LONGEST: Final = 10_000  # characters of a number with its unit
_SIGNS: Final = " \t\r\n#\"'"  # which outside of quotes are no part of a word


def text_of(value: Any) -> str:
    """Return a value as Go's `%v` writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case float():
            return _float_text(value)
        case Mapping():
            return f"map[{' '.join(f'{key}:{text_of(value[key])}' for key in sorted(value))}]"
        case list():
            return f"[{' '.join(text_of(one) for one in value)}]"
        case datetime() if value.tzinfo is not None:
            offset = value.strftime("%z")
            return f"{value:%Y-%m-%d %H:%M:%S} {offset} {'UTC' if offset == '+0000' else offset}"
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return str(value)


def _float_text(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    exponent = Decimal(repr(value)).adjusted() if value else 0
    if -4 <= exponent < _LEAST_EXPONENT:
        return format(Decimal(repr(value)).normalize(), "f") if value else text_of(0)
    digits = "".join(map(str, Decimal(repr(value)).normalize().as_tuple().digits))
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    sign = "-" if value < 0 else ""
    return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def duration_of(value: Any, where: str, *, unit: str | None = None) -> str | None:
    """Return a duration as Go spells it, such as `1m30s`; None if there is none.

    A number is of `unit`, without one of nanoseconds.
    """
    if value is None or (unit and value == ""):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST:
        return go_duration(int(value) * _UNITS_NS[unit or "ns"])
    text = value if isinstance(value, str) else ""
    parts = _DURATION_PART.findall(text[:_LONGEST])
    if text == "0" or (parts and "".join(number + of for number, of in parts) == text):
        return go_duration(sum(int(Decimal(number) * _UNITS_NS[of]) for number, of in parts))
    raise UsageError(f"{where} is no duration: {value!r}", hint="write it like 30s or 5m")


def go_duration(nanoseconds: int) -> str:
    """Spell a duration as Go does: `1h0m0s`, `1m30s`, `1.5s`, `100ms`."""
    if nanoseconds == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if nanoseconds < _UNITS_NS[unit] * 1000:
            return f"{_plain(Decimal(nanoseconds) / _UNITS_NS[unit])}{unit}"
    minutes, rest = divmod(nanoseconds, _UNITS_NS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_plain(Decimal(rest) / _UNITS_NS['s'])}s"
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}" if minutes else seconds


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


def megabytes_of(value: Any, where: str) -> int:
    """Return the MiB of a memory size such as `512mb` or `"2gb"`."""
    return _size(value, where, step=1024, unit=1024**2)


def gigabytes_of(value: Any, where: str) -> int:
    """Return the GB of a volume's size such as `3gb`; a number is in GB."""
    return _size(value, where, step=1000, unit=1000**3)


def _size(value: Any, where: str, *, step: int, unit: int) -> int:
    text = text_of(value)
    if _WHOLE.fullmatch(text):
        return int(text)
    if found := _SIZE.fullmatch(text[:_LONGEST]):
        number, letter = found.groups()
        return int(Decimal(number) * step ** (_STEPS.index(letter.lower()) + 1 if letter else 0)) // unit
    raise UsageError(f"{where} is no size: {text!r}", hint="write it like 512mb or 2gb")


def whole_of(value: Any, where: str) -> int:
    """Return a whole number, which may stand in quotes."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    raise UsageError(f"{where} is no whole number: {value!r}", hint="write one there, without quotes")


def words_of(command: str, where: str) -> list[str]:
    """Split a command as flyctl does.

    A backslash takes the next character as it is, also between double quotes; behind a `#` at a word's begin nothing
    counts until the line's end.
    """
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    position = 0
    while position < len(command):
        one = command[position]
        position += 1
        if one == "\\" and quote != "'":
            if position == len(command):
                raise UsageError(f"{where} ends with a backslash", hint="flyctl refuses it too")
            word = word or []
            word.append(command[position])
            position += 1
        elif one == quote:
            quote = ""
        elif quote or one not in _SIGNS or (one == "#" and word is not None):
            word = word or []
            word.append(one)
        elif one == "#":
            end = command.find("\n", position)
            position = len(command) if end < 0 else end
        elif one in "\"'":
            word, quote = word or [], one
        elif word is not None:
            words.append("".join(word))
            word = None
    if quote:
        raise UsageError(f"{where} has a quote {quote} without an end", hint="flyctl refuses it too")
    return words if word is None else [*words, "".join(word)]
