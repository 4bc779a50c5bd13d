"""What the platform learns late: states of machines in lists, and pushed images."""

from collections import deque
from collections.abc import Callable
from typing import Any

from reconciler.clock import Clock
from reconciler.engine.faults.rules import api_fault
from reconciler.engine.models import Machine


class NewImages:
    """Refuse an image for a while after its first call, as Fly does after a push.

    The latency `manifest_s` says how long.
    """

    def __init__(self, clock: Clock, lag_s: float) -> None:
        self._clock = clock
        self._lag_s = lag_s
        self._named_at: dict[str, float] = {}

    def check(self, config: dict[str, Any]) -> None:
        """Raise ApiFault where the config's image is too new."""
        image = config.get("image")
        if self._lag_s and image:
            now = self._clock.monotonic()
            if now - self._named_at.setdefault(image, now) < self._lag_s:
                raise api_fault("image_not_ready")


class StaleLists:
    """Answer lists of machines from a moment ago, as Fly does (latency `list_lag_s`).

    `find` returns a machine as it is now.
    """

    def __init__(self, clock: Clock, lag_s: float, find: Callable[[str], Machine | None]) -> None:
        self._clock = clock
        self._lag_s = lag_s
        self._find = find
        self._past: dict[str, deque[tuple[float, Machine]]] = {}

    def note(self, machine_id: str) -> None:
        """Remember the machine, which has changed."""
        machine = self._find(machine_id)
        if not self._lag_s or machine is None:
            return
        past = self._past.setdefault(machine_id, deque())
        past.append((self._clock.monotonic(), machine))
        while len(past) > 1 and past[1][0] <= self._clock.monotonic() - self._lag_s:
            past.popleft()

    def forget(self, machine_id: str) -> None:
        """Drop what is remembered of a machine whose record is gone."""
        self._past.pop(machine_id, None)

    def listed(self, machine: Machine) -> Machine | None:
        """Return the machine as a list shows it; None where it is too new to be in one."""
        past = self._past.get(machine.id)
        if not self._lag_s or not past:
            return machine
        horizon = self._clock.monotonic() - self._lag_s
        known = [seen for at, seen in past if at <= horizon]
        return known[-1] if known else None
