"""Wait for machines: the API's wait call, and the changes that it waits for."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from msgspec import Struct

from reconciler.clock import Clock
from reconciler.engine.errors import ApiFault, bad_request
from reconciler.engine.models import RESTING, Machine

T = TypeVar("T")
ANY: Final = ""
"""In place of a machine's id: any machine."""

_STATES: Final = frozenset({"started", "stopped", "suspended", "destroyed", "failed", "settled"})
_LONGEST_S: Final = 60


class Wait(Struct, frozen=True, kw_only=True):
    """A wait call for any of `states`, of `version`, after event `from_event_id`."""

    states: Sequence[str]
    timeout_s: int = _LONGEST_S
    version: str | None = None
    from_event_id: str | None = None

    def check(self) -> None:
        """Raise ApiFault for parameters that the API refuses."""
        if not 1 <= self.timeout_s <= _LONGEST_S:
            raise bad_request("invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]")
        if not self.states or not set(self.states) <= _STATES:
            raise bad_request(f"invalid state: {', '.join(self.states)}")

    def is_over(self, machine: Machine) -> bool:
        """Return whether the machine is in one of the states, or was after the event.

        Raises ApiFault where the machine has another version.
        """
        if self.version and self.version != machine.instance_id:
            raise ApiFault(400, f"machine failed to reach desired state, {self.states[0]}, currently replaced")
        wanted = set(self.states) | (RESTING | {"started", "destroyed"} if "settled" in self.states else set())
        ids = [event.id for event in machine.events]
        if not self.from_event_id or self.from_event_id not in ids:
            return machine.state in wanted
        newer = machine.events[: ids.index(self.from_event_id)]
        if not newer:
            return False
        entered = {event.status for event in newer if not (event.request or {}).get("exit_event", {}).get("restarting")}
        return machine.state in wanted or bool(entered & wanted)

    def expired(self, machine: Machine) -> ApiFault:
        """Return the answer to a wait whose time is over."""
        text = f"machine failed to reach desired state, {self.states[0]}, currently {machine.state}"
        return ApiFault(408, f"deadline_exceeded: {text}")


class Watchers:
    """Wake those who wait for a machine at each of its changes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self.is_closing: bool = False

    def notify(self, machine_id: str) -> None:
        """Wake those who wait for this machine, or for any."""
        for change in self._waiters.pop(machine_id, set()) | self._waiters.pop(ANY, set()):
            if not change.done():
                change.set_result(None)

    def close(self) -> None:
        """End all waits."""
        self.is_closing = True
        for machine_id in list(self._waiters):
            self.notify(machine_id)

    async def until(self, machine_id: str, reached: Callable[[], T | None], timeout_s: float) -> T | None:
        """Return the first true result of `reached`, called now and at each change.

        None after the timeout, and when the engine closes.
        """
        if found := reached():
            return found
        timer = asyncio.ensure_future(self._clock.sleep(timeout_s))
        try:
            while not (timer.done() or self.is_closing):
                change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.setdefault(machine_id, set()).add(change)
                await asyncio.wait({change, timer}, return_when=asyncio.FIRST_COMPLETED)
                self._waiters.get(machine_id, set()).discard(change)
                if found := reached():
                    return found
            return None
        finally:
            timer.cancel()
            with suppress(asyncio.CancelledError):
                await timer
