"""When a wait for a machine's state is over, and what it answers then."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.engine.errors import ApiFault, bad_request
from reconciler.engine.models import RESTING, Machine

_STATES: Final = frozenset({"started", "stopped", "suspended", "destroyed", "failed", "settled"})
_LONGEST_S: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One wait: for any of the states, of this version, entered after that event."""

    states: Sequence[str]
    timeout_s: int = _LONGEST_S
    version: str | None = None
    from_event_id: str | None = None

    def check(self) -> None:
        """Raises ApiFault where no such wait can be."""
        if not 1 <= self.timeout_s <= _LONGEST_S:
            raise bad_request("invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]")
        if not self.states or not set(self.states) <= _STATES:
            raise bad_request(f"invalid state: {', '.join(self.states)}")

    def is_over(self, machine: Machine) -> bool:
        """Whether the machine is, or has been after the event, in one of the states. Raises ApiFault."""
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
        """The answer once its time is over."""
        text = f"machine failed to reach desired state, {self.states[0]}, currently {machine.state}"
        return ApiFault(408, f"deadline_exceeded: {text}")
