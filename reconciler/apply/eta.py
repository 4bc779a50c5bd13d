"""Estimate how long an apply will still take. Pure; the time is handed in.

It knows the platform's rate, and what the apply has taken so far.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from reconciler.model.change import Action, Change
from reconciler.model.report import Entry, Status

_BURST: Final = 3  # creations that the platform lets through at once
_FEWEST: Final = 3  # changes that have to end before their time says anything


class Forecast:
    """Counts the changes that end; a deferred one is counted when its turn has come.

    `began` is a monotonic time in seconds; `creation_pause_s` that between two creations in one app, 0 if nothing
    limits them.
    """

    def __init__(self, changes: Iterable[Change], *, creation_pause_s: float, began: float) -> None:
        changes = [change for change in changes if not change.deferred]
        self.total: int = len(changes)
        self._open = {change.address for change in changes}
        self.done: int = 0
        self._pause_s = creation_pause_s
        self._began = began
        self._to_create = Counter(change.slot.app for change in changes if change.action is Action.CREATE)
        self._created: Counter[str] = Counter()

    def count(self, ended: Entry) -> None:
        """Count a change that has ended, in whatever way."""
        if ended.address not in self._open:
            if ended.status is Status.DEFERRED:
                return
            self.total += 1
        self._open.discard(ended.address)
        self.done += 1
        if ended.action is Action.CREATE:
            self._created[ended.slot.app] += 1

    def left_s(self, now: float) -> float | None:
        """Return the seconds until the last change ends; None if unknown or over."""
        left = self.total - self.done
        if left <= 0:
            return None
        paced_s = max((self._paced_s(app) for app in self._to_create), default=0.0)
        seen_s = (now - self._began) / self.done * left if self.done >= _FEWEST else 0.0
        return max(paced_s, seen_s) or None

    def _paced_s(self, app: str) -> float:
        created = self._created[app]
        beyond = self._to_create[app] - max(created, _BURST)
        return max(0, beyond) * self._pause_s
