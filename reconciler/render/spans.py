"""Spell how long something took, or how long ago it was."""

from datetime import datetime
from typing import Final

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"))


def ago(then: datetime, now: datetime) -> str:
    """Spell a past time in its largest unit: `3m ago`."""
    seconds = max(0, int((now - then).total_seconds()))
    for unit_s, letter in _UNITS:
        if seconds >= unit_s:
            return f"{seconds // unit_s}{letter} ago"
    return f"{seconds}s ago"


def took(began: datetime, ended: datetime) -> str:
    """Spell a duration: `1.5s`, `2m05s`, `1h02m`."""
    seconds = max(0.0, (ended - began).total_seconds())
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes}m{seconds:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"
