"""Durations as the API spells them: Go strings (`1m0s`) or nanoseconds."""

import re
from typing import Any, Final

_UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
_LONGEST: Final = 100  # of any duration
_PART: Final = r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)"


def nanoseconds(value: Any) -> Any:
    """Return the duration in nanoseconds; what is no duration comes back as it is."""
    if isinstance(value, str):
        parts = re.findall(_PART, value[:_LONGEST])
        if parts and "".join(number + unit for number, unit in parts) == value:
            return sum(round(float(number) * _UNITS_NS[unit]) for number, unit in parts)
    return value


def duration_words(seconds: float) -> str:
    """Spell seconds as a spec does: `1h30m`, `10m`, `45s`, `0.5s`."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{int(hours)}h" if hours else "", f"{int(minutes)}m" if minutes else "", f"{left:g}s" if left else ""]
    return "".join(parts) or "0s"
