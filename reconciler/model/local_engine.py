"""The local engine as a target: it may be stopped, killed and started again while someone waits for a run on it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEngine:
    """`find_url` returns where it serves now, None where it does not run; `start` is the command that starts it."""

    find_url: Callable[[], str | None]
    start: str
