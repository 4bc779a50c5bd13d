"""The local engine as a target.

It may be stopped, killed and started again while someone waits for a run on it.
"""

from collections.abc import Callable

from msgspec import Struct


class LocalEngine(Struct, frozen=True, kw_only=True):
    """How to find and start the local engine.

    `find_url` returns where it serves now, None if it does not run; `start` is the command that starts it.
    """

    find_url: Callable[[], str | None]
    start: str
