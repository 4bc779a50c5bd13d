"""Probe what a lease does to a call: the rows of the engine's table of leases.

A lease whose nonce the call does not send stands for someone else's.
"""

from typing import Final

from reconciler.conformance.laboratory import Laboratory
from reconciler.conformance.probe import Probe, expect
from reconciler.conformance.states import send
from reconciler.engine.machines.call_rules import LeaseEffect, decide_lease
from reconciler.errors import ApiErrorKind

_FOREIGN: Final = {
    "stopped": ("start", "update", "lease", "release", "metadata", "get"),
    "started": ("restart", "suspend", "cordon", "exec", "signal", "stop"),
}
_OWN: Final = {"stopped": ("metadata", "update", "start"), "started": ("cordon", "exec", "restart", "stop")}
_BRIEF_S: Final = 6
_EARLY_S: Final = 3.0
_WHOSE: Final = {"free": "no lease", "own": "one's own lease", "foreign": "someone else's lease"}
_SAID: Final = {
    LeaseEffect.PASS: "accepted",
    LeaseEffect.REFUSE: "refused at once: 409 lease currently held by …",
    LeaseEffect.WAIT: "answered once the lease has expired",
    LeaseEffect.ABSENT: "404 lease not found",
}


def _probe(call: str, holder: str, state: str) -> Probe:
    rule = decide_lease(call, holder)

    async def attempt(lab: Laboratory) -> str:
        machine_id = await lab.in_state(state)
        if holder == "free":
            answer = await send(lab, call, machine_id)
        else:
            async with lab.leased(machine_id, ttl_s=_BRIEF_S if rule is LeaseEffect.WAIT else 30) as nonce:
                answer = await send(lab, call, machine_id, nonce=nonce if holder == "own" else None)
        seen = f"{answer.words} after {answer.took_s:.0f} s"
        match rule:
            case LeaseEffect.REFUSE if call == "exec":
                return expect(answer.status == 409, answer.words)  # its text is not known well
            case LeaseEffect.REFUSE:
                return expect(answer.kind is ApiErrorKind.LEASE_HELD, answer.words)
            case LeaseEffect.WAIT:
                return expect(answer.is_success and answer.took_s >= _EARLY_S, seen)
            case LeaseEffect.PASS:
                return expect(answer.is_success, answer.words)
            case LeaseEffect.ABSENT:
                return expect(answer.kind is ApiErrorKind.LEASE_NOT_FOUND, answer.words)

    return Probe(
        name=f"{call} under {_WHOSE[holder]}",
        group="lease",
        assumes=_SAID[rule],
        calls=f"LEASE, {call}" if holder != "free" else call,
        attempt=attempt,
    )


HELD_LEASES: Final = (
    _probe("release", "free", "stopped"),
    *(_probe(call, "foreign", state) for state, calls in _FOREIGN.items() for call in calls),
    *(_probe(call, "own", state) for state, calls in _OWN.items() for call in calls),
)
